# Toolchain: WebAssembly by emscripten. Pointers have 64 bits, as everywhere, and are lowered when
# linking (MEMORY64=2), so that every engine runs the result; its memory ends at 4 GiB. Programs are
# one file for node, which reads the files of the system. Debian: emscripten, nodejs.
find_program(BITNET_EMXX em++ REQUIRED DOC "Emscripten's C++ compiler")
mark_as_advanced(BITNET_EMXX)
file(REAL_PATH "${BITNET_EMXX}" emscripten)
cmake_path(GET emscripten PARENT_PATH emscripten)
include("${emscripten}/cmake/Modules/Platform/Emscripten.cmake")

set(wasm64 "-sMEMORY64=2")
# Debian ships the system libraries for 32-bit pointers alone, and a configuration that refuses to
# build others. This one does so, once, which takes minutes; the option that it keeps from node, whose
# newer versions do not know it, comes with that.
if(EXISTS "${emscripten}/.emscripten")
  file(READ "${emscripten}/.emscripten" config)
  if(config MATCHES "\nFROZEN_CACHE = True")
    set(wasm64_folder "$ENV{HOME}/.cache/emscripten-wasm64")
    string(APPEND config "\nFROZEN_CACHE = False\nCACHE = '${wasm64_folder}/cache'\n"
      "NODE_JS = ['/bin/sh', '-c', 'test \"$1\" != --experimental-wasm-bigint || shift; "
      "exec node \"$@\"', 'node']\n")
    file(WRITE "${wasm64_folder}/config" "${config}")
    string(PREPEND wasm64 "--em-config ${wasm64_folder}/config ")
  endif()
endif()
set(CMAKE_CXX_FLAGS_INIT "${wasm64}")
set(CMAKE_EXE_LINKER_FLAGS_INIT
  "-sALLOW_MEMORY_GROWTH=1 -sEXIT_RUNTIME=1 -sNODERAWFS=1 -sSINGLE_FILE=1")
# Else the checks of compilers would have more variants of those libraries built.
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
