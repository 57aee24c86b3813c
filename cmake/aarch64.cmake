# Toolchain: 64-bit ARM Linux on another machine, with Debian's cross compiler; programs that are
# built (tests, say) run under qemu's user mode emulation.
#
# BITNET_QEMU_CPU picks the processor that qemu is: `max` has every instruction set of isa/tags.hpp,
# cortex-a72 has neither dot products nor matrix products, neoverse-n1 only the former.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++ CACHE FILEPATH "Cross compiler")

set(BITNET_QEMU_CPU max CACHE STRING "Processor that qemu emulates")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES BITNET_QEMU_CPU)
set(CMAKE_CROSSCOMPILING_EMULATOR
  qemu-aarch64 -cpu "${BITNET_QEMU_CPU}" -L /usr/aarch64-linux-gnu)

# Libraries come from the target's folders. So do packages, except those that are headers alone
# (doctest, Eigen, CLI11), which the build machine's packages serve as well.
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE BOTH)
