# Toolchain: 64-bit ARM Linux on another machine, with Debian's cross compiler; programs that are
# built (tests, say) run under qemu's user mode emulation. QEMU_CPU in its environment picks another
# processor than the default, which has every instruction set of isa/tags.hpp.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++ CACHE FILEPATH "Cross compiler")

set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)

# Libraries come from the target's folders. So do packages, except those that are headers alone
# (doctest, Eigen, CLI11), which the build machine's packages serve as well.
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE BOTH)
