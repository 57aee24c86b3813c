# Settings of our own programs (tests, examples, benchmarks); nothing here reaches users' targets.

if(PROJECT_IS_TOP_LEVEL AND NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
  find_program(BITNET_CCACHE ccache DOC "Compiler cache, used when found")
  mark_as_advanced(BITNET_CCACHE)
  if(BITNET_CCACHE)
    set(CMAKE_CXX_COMPILER_LAUNCHER "${BITNET_CCACHE}")
  endif()
endif()
if(PROJECT_IS_TOP_LEVEL AND NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

set(bitnet_warnings
  $<$<CXX_COMPILER_ID:GNU,Clang,AppleClang>:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wconversion;-Wsign-conversion>
  $<$<CXX_COMPILER_ID:MSVC>:/W4>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC 12 warns wrongly about "literal" + std::string (its bug 105651).
  list(APPEND bitnet_warnings -Wno-restrict)
endif()
if(BITNET_WERROR)
  list(APPEND bitnet_warnings
    $<IF:$<CXX_COMPILER_ID:MSVC>,/WX,-Werror>)
endif()

# Links a target of ours with the library and turns the warnings on.
function(bitnet_settings target)
  target_link_libraries(${target} PRIVATE bitnet::bitnet)
  target_compile_options(${target} PRIVATE ${bitnet_warnings})
endfunction()

# As games and machines are built.
set(bitnet_without_exceptions
  $<IF:$<CXX_COMPILER_ID:MSVC>,/EHs-c-;/GR-,-fno-exceptions;-fno-rtti>)

# bitnet_separate(TARGET [WITHOUT_EXCEPTIONS]): TARGET takes kernels and architectures, most of what
# its files would compile, from one object for all such programs (BITNET_SEPARATE of config.hpp).
function(bitnet_separate target)
  set(objects bitnet_separate)
  set(options "")
  if("WITHOUT_EXCEPTIONS" IN_LIST ARGN)
    set(objects bitnet_separate_without_exceptions)
    set(options ${bitnet_without_exceptions})
  endif()
  if(NOT TARGET ${objects})
    add_library(${objects} OBJECT EXCLUDE_FROM_ALL "${PROJECT_SOURCE_DIR}/cmake/implementation.cpp")
    bitnet_settings(${objects})
    target_compile_options(${objects} PUBLIC ${options})
    target_compile_definitions(${objects} PUBLIC BITNET_SEPARATE)
  endif()
  target_link_libraries(${target} PRIVATE ${objects})
endfunction()

# bitnet_example(NAME SOURCE...) makes bin/NAME. The target is called example-NAME, except that of
# the command-line tool examples/bitnet, which is bitnet-cli (bitnet is the library).
function(bitnet_example name)
  set(target "example-${name}")
  if(name STREQUAL "bitnet")
    set(target bitnet-cli)
  endif()
  add_executable(${target} ${ARGN})
  bitnet_settings(${target})
  set_target_properties(${target} PROPERTIES
    OUTPUT_NAME "${name}" RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
endfunction()
