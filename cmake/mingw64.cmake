# Toolchain: 64-bit Windows by MinGW-w64, with POSIX threads, which std::thread needs. Programs run
# without DLLs of the compiler's, and under wine where they were built.
# Debian: g++-mingw-w64-x86-64-posix, wine64.
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_CXX_COMPILER x86_64-w64-mingw32-g++-posix)
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)

set(CMAKE_FIND_ROOT_PATH /usr/x86_64-w64-mingw32)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

find_program(BITNET_WINE NAMES wine64 wine PATHS /usr/lib/wine DOC "Runs Windows programs")
mark_as_advanced(BITNET_WINE)
if(BITNET_WINE)
  # Silent about what a machine without display or sound lacks.
  set(CMAKE_CROSSCOMPILING_EMULATOR ${CMAKE_COMMAND} -E env WINEDEBUG=-all ${BITNET_WINE})
endif()
