# tests/fuzz/NAME_fuzz.cpp become libFuzzer programs NAME_fuzz with a ctest entry fuzz.NAME
# (label fuzz): a million runs of the parser's, which takes minutes; of the others, whose inputs are
# whole texts and models, as many as half a minute allows. Seeds: tests/fuzz/NAME, and the malformed
# inputs of the shared data where they are present.

if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  message(FATAL_ERROR "BITNET_BUILD_FUZZERS needs Clang")
endif()
file(GLOB sources CONFIGURE_DEPENDS fuzz/*_fuzz.cpp)
foreach(source IN LISTS sources)
  cmake_path(GET source STEM program)
  string(REGEX REPLACE "_fuzz$" "" name "${program}")
  add_executable(${program} ${source})
  bitnet_settings(${program})
  target_compile_options(${program} PRIVATE
    -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -O1 -g)
  target_link_options(${program} PRIVATE -fsanitize=fuzzer,address,undefined)

  # The first folder takes what the fuzzer finds; the others are only read.
  set(corpus "${CMAKE_CURRENT_BINARY_DIR}/fuzz/${name}")
  file(MAKE_DIRECTORY "${corpus}")
  set(seeds "")
  foreach(folder IN ITEMS "${CMAKE_CURRENT_SOURCE_DIR}/fuzz/${name}" "${bitnet_shared}/malformed")
    if(IS_DIRECTORY "${folder}")
      list(APPEND seeds "${folder}")
    endif()
  endforeach()
  set(dictionary "${bitnet_shared}/malformed/${name}.dict")
  if(EXISTS "${dictionary}")
    list(APPEND seeds "-dict=${dictionary}")
  endif()
  set(seconds 30)
  if(name STREQUAL "gguf")
    set(seconds 420)
  endif()
  # len_control=0: targets begin from whole valid inputs, not from short ones.
  add_test(NAME fuzz.${name} COMMAND ${program} -runs=1000000 -max_total_time=${seconds}
    -len_control=0 -timeout=20
    -rss_limit_mb=2048 -malloc_limit_mb=512 -print_final_stats=1 -verbosity=1
    "-artifact_prefix=${CMAKE_CURRENT_BINARY_DIR}/fuzz/${name}-" "${corpus}" ${seeds})
  set_tests_properties(fuzz.${name} PROPERTIES LABELS fuzz TIMEOUT 600 COST ${seconds})
endforeach()
