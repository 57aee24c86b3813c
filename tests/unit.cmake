# tests/<layer>/*_test.cpp become the program test_<layer>, and each file one ctest entry
# <layer>.<file>. Labels: the layer; `threads` for files that use threads (all that the thread
# sanitizer runs). Test cases whose name holds "[full]" run only in an entry <layer>.<file>.full,
# labelled `full`: they are too slow, or want too much of the shared data, for every run.

if(CMAKE_CROSSCOMPILING)
  # doctest is this machine's, one header: a copy, since beside it lie headers of this system.
  find_path(BITNET_DOCTEST doctest/doctest.h PATHS /usr/include NO_CMAKE_FIND_ROOT_PATH)
  if(BITNET_DOCTEST)
    set(doctest_FOUND TRUE)
    configure_file("${BITNET_DOCTEST}/doctest/doctest.h" host/doctest/doctest.h COPYONLY)
    add_library(doctest::doctest INTERFACE IMPORTED)
    target_include_directories(doctest::doctest INTERFACE "${CMAKE_CURRENT_BINARY_DIR}/host")
  endif()
else()
  find_package(doctest QUIET)
endif()
if(NOT doctest_FOUND)
  message(FATAL_ERROR "doctest not found (Debian: doctest-dev); -DBITNET_BUILD_TESTS=OFF builds "
    "without tests")
endif()
find_package(Eigen3 QUIET NO_MODULE)
set(bitnet_shared "")
if(EXISTS "${BITNET_SHARED_DIR}")
  cmake_path(ABSOLUTE_PATH BITNET_SHARED_DIR NORMALIZE OUTPUT_VARIABLE bitnet_shared)
  message(STATUS "Shared test data: ${bitnet_shared}")
else()
  message(STATUS "Shared test data: none, the tests use what the repository has")
endif()

# What every test program is compiled with.
add_library(bitnet_test_settings INTERFACE)
target_include_directories(bitnet_test_settings INTERFACE "${CMAKE_CURRENT_SOURCE_DIR}")
target_link_libraries(bitnet_test_settings INTERFACE doctest::doctest)
target_compile_definitions(bitnet_test_settings INTERFACE
  "BITNET_SHARED_DIR=\"${bitnet_shared}\""
  "BITNET_TEST_ALL_MODELS=$<BOOL:${BITNET_TEST_ALL_MODELS}>"
  "BITNET_TEST_DATA_DIR=\"${CMAKE_CURRENT_SOURCE_DIR}/data\"")
# Tests need not be fast, and every one of them compiles kernels: -O1 halves the time for that.
target_compile_options(bitnet_test_settings INTERFACE
  $<$<AND:$<CONFIG:Release>,$<NOT:$<CXX_COMPILER_ID:MSVC>>>:-O1>)
# doctest counts with __COUNTER__.
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 22)
  target_compile_options(bitnet_test_settings INTERFACE -Wno-c2y-extensions)
endif()
# Exceptions are for BITNET_TEST_EXCEPTIONS, and for tests/exceptions always.
add_library(bitnet_test_mode INTERFACE)
# Linking for speed would want packages of node beside emscripten.
if(EMSCRIPTEN)
  target_link_options(bitnet_test_settings INTERFACE -O1)
endif()
set(bitnet_test_exceptions "")
if(NOT BITNET_TEST_EXCEPTIONS)
  set(bitnet_test_exceptions WITHOUT_EXCEPTIONS)
  target_compile_options(bitnet_test_mode INTERFACE ${bitnet_without_exceptions})
endif()
if(TARGET Eigen3::Eigen)
  target_link_libraries(bitnet_test_settings INTERFACE Eigen3::Eigen)
endif()

# A refused allocation is a null pointer for nothrow new under sanitizers too.
set(bitnet_sanitizer_options
  "ASAN_OPTIONS=allocator_may_return_null=1"
  "TSAN_OPTIONS=allocator_may_return_null=1"
  "UBSAN_OPTIONS=print_stacktrace=1")

# The longest, which begin first so that no processor waits for them at the end.
set(bitnet_long_tests engine.determinism engine.replay engine.tiled engine.snapshot engine.loading
  engine.fork quant.encode sample.grammar kernels.emulated kernels.tiled nn.output_head train.parity
  train.trainer)

# One ctest entry that runs the cases of one file; it fails if there are none.
function(bitnet_test_entry name program file labels)
  add_test(NAME ${name}
    COMMAND ${program} "--source-file=*/${file}" --no-colors --no-path-filenames ${ARGN})
  set_tests_properties(${name} PROPERTIES LABELS "${labels}" TIMEOUT 900
    FAIL_REGULAR_EXPRESSION "test cases: +0 [|]"
    ENVIRONMENT "${bitnet_sanitizer_options}")
  if(name IN_LIST bitnet_long_tests)
    set_tests_properties(${name} PROPERTIES COST 1)
  endif()
endfunction()

# Whether a test file uses threads.
function(bitnet_uses_threads file out)
  file(STRINGS "${CMAKE_CURRENT_SOURCE_DIR}/${file}" lines
    REGEX "std::j?thread|std::async|thread_pool" LIMIT_COUNT 1)
  set(${out} "${lines}" PARENT_SCOPE)
endfunction()

# On a processor that qemu can be, `best` has to be the instruction set that is found there, and the
# tests of kernels that are named may not use what it lacks: entries LAYER.FILE.PROCESSOR.
function(bitnet_arm_entries processor best)
  set(names isa.isa.${processor})
  bitnet_test_entry(${names} test_isa isa/isa_test.cpp isa)
  set_tests_properties(${names} PROPERTIES
    PASS_REGULAR_EXPRESSION "best instruction set here: ${best}\n.*Status: SUCCESS!")
  foreach(file IN LISTS ARGN)
    list(APPEND names kernels.${file}.${processor})
    bitnet_test_entry(kernels.${file}.${processor} test_kernels kernels/${file}_test.cpp kernels)
  endforeach()
  set_property(TEST ${names} APPEND PROPERTY ENVIRONMENT "QEMU_CPU=${processor}")
endfunction()

function(bitnet_unit_tests)
  # Reported without a place in SIMDe, so no pragma in the file can silence them: vectors in GCC's
  # calling convention, and loops that Clang is asked to vectorize but does not at -O1. SIMDe also
  # adds vectors of signed bytes with the language's own `+`, where the instruction wraps around.
  set_source_files_properties(kernels/emulated_test.cpp PROPERTIES
    SKIP_UNITY_BUILD_INCLUSION ON COMPILE_OPTIONS
    "-fno-sanitize=signed-integer-overflow;$<$<CXX_COMPILER_ID:GNU>:-Wno-psabi>;$<$<CXX_COMPILER_ID:Clang>:-Wno-pass-failed>")
  # doctest's own code is where it is included first.
  set_source_files_properties(main.cpp PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  # It replaces the allocator, which other tests' code would then be inlined with.
  set_source_files_properties(engine/allocations.cpp PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  add_library(bitnet_test_main OBJECT main.cpp)
  target_link_libraries(bitnet_test_main PRIVATE bitnet_test_settings bitnet_test_mode)
  bitnet_settings(bitnet_test_main)
  # Kernels and architectures, compiled once and not for speed, which examples are in release builds.
  add_library(bitnet_test_implementation OBJECT EXCLUDE_FROM_ALL
    "${PROJECT_SOURCE_DIR}/cmake/implementation.cpp")
  target_link_libraries(bitnet_test_implementation
    PRIVATE bitnet_test_settings bitnet_test_mode)
  target_compile_definitions(bitnet_test_implementation PRIVATE BITNET_SEPARATE)
  bitnet_settings(bitnet_test_implementation)
  add_custom_target(tests_with_threads) # what the entries labelled `threads` run

  file(GLOB sources CONFIGURE_DEPENDS RELATIVE "${CMAKE_CURRENT_SOURCE_DIR}" */*_test.cpp)
  if(CMAKE_CROSSCOMPILING OR NOT BITNET_TEST_EMULATED)
    list(REMOVE_ITEM sources kernels/emulated_test.cpp)
  endif()
  if(NOT TARGET Eigen3::Eigen)
    message(STATUS "Eigen not found (Debian: libeigen3-dev): the tests of training are left out")
    list(FILTER sources EXCLUDE REGEX "^train/")
  endif()
  if(EMSCRIPTEN) # built without threads
    foreach(file IN LISTS sources)
      bitnet_uses_threads("${file}" threads)
      if(threads)
        list(REMOVE_ITEM sources "${file}")
      endif()
    endforeach()
  endif()
  list(TRANSFORM sources REPLACE "/[^/]*$" "" OUTPUT_VARIABLE layers)
  list(REMOVE_DUPLICATES layers)
  foreach(layer IN LISTS layers)
    set(layer_sources ${sources})
    list(FILTER layer_sources INCLUDE REGEX "^${layer}/")
    set(program test_${layer})
    file(GLOB helpers CONFIGURE_DEPENDS ${layer}/*.cpp)
    list(FILTER helpers EXCLUDE REGEX "_test[.]cpp$")
    add_executable(${program} ${layer_sources} ${helpers})
    if(layer MATCHES "^(engine|train)$") # whose files open models
      if(CMAKE_BUILD_TYPE STREQUAL "Release")
        target_link_libraries(${program} PRIVATE bitnet_test_implementation)
        target_compile_definitions(${program} PRIVATE BITNET_SEPARATE)
      else() # the examples' flags are the tests' too
        bitnet_separate(${program} ${bitnet_test_exceptions})
      endif()
    endif()
    target_link_libraries(${program} PRIVATE bitnet_test_settings)
    if(layer STREQUAL "exceptions")
      target_sources(${program} PRIVATE main.cpp)
      bitnet_separate(${program})
    else()
      target_link_libraries(${program} PRIVATE bitnet_test_mode bitnet_test_main)
    endif()
    bitnet_settings(${program})
    set_target_properties(${program} PROPERTIES # whose files all parse and instantiate the same
      UNITY_BUILD ${BITNET_UNITY} UNITY_BUILD_BATCH_SIZE 0)

    foreach(file IN LISTS layer_sources)
      set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
      string(REGEX REPLACE "_test[.]cpp$" "" name "${file}")
      string(REPLACE "/" "." name "${name}")
      set(labels ${layer})
      set(source "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
      bitnet_uses_threads("${file}" threads)
      if(threads)
        list(APPEND labels threads)
        add_dependencies(tests_with_threads ${program})
      endif()
      file(STRINGS "${source}" cases REGEX "TEST_CASE")
      set(full ${cases})
      list(FILTER full INCLUDE REGEX "\\[full\\]")
      list(FILTER cases EXCLUDE REGEX "\\[full\\]")
      if(full)
        bitnet_test_entry(${name}.full ${program} ${file} "${labels};full"
          "--test-case=*[full]*")
      endif()
      if(cases OR NOT full)
        bitnet_test_entry(${name} ${program} ${file} "${labels}" "--test-case-exclude=*[full]*")
      endif()
    endforeach()
  endforeach()
  if(CMAKE_CROSSCOMPILING AND CMAKE_SYSTEM_PROCESSOR STREQUAL "aarch64")
    bitnet_arm_entries(cortex-a72 neon tiled float screen)
    bitnet_arm_entries(neoverse-n1 neon_dotprod tiled float screen)
    bitnet_arm_entries(max neon_i8mm)
  endif()
endfunction()
