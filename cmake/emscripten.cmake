# Toolchain: WebAssembly by emscripten, with the 32-bit pointers that every engine and browser has.
# Programs run under node and read the files of the system. Debian: emscripten, nodejs.
find_program(BITNET_EMXX em++ REQUIRED DOC "Emscripten's C++ compiler")
mark_as_advanced(BITNET_EMXX)
file(REAL_PATH "${BITNET_EMXX}" emscripten)
cmake_path(GET emscripten PARENT_PATH emscripten)
include("${emscripten}/cmake/Modules/Platform/Emscripten.cmake")

set(CMAKE_EXE_LINKER_FLAGS_INIT
  "-sALLOW_MEMORY_GROWTH=1 -sEXIT_RUNTIME=1 -sNODERAWFS=1 -sSINGLE_FILE=1")
# Emscripten has threads or none; the core is built without them here.
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
