# Tiny projects that use the library as a user would, configured, built and run by ctest.

# Each header must compile alone and without warnings. The library's own folder has no other target
# that is compiled, so its compile options reach the generated header checks and nothing else.
set_target_properties(bitnet PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)
if(TARGET bitnet_train)
  set_target_properties(bitnet_train PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)
endif()
set_property(DIRECTORY "${PROJECT_SOURCE_DIR}" APPEND PROPERTY COMPILE_OPTIONS ${bitnet_warnings})
add_test(NAME headers.compile_alone
  COMMAND ${CMAKE_COMMAND} --build "${PROJECT_BINARY_DIR}" --target all_verify_interface_header_sets)
set_tests_properties(headers.compile_alone PROPERTIES LABELS headers TIMEOUT 1800 RUN_SERIAL ON)

# Sanitizer flags and the like are ours, not the user's, so consumers are built without them.
set(consumers find_package add_subdirectory fetch_content odr)
if(UNIX)
  list(APPEND consumers two_copies) # dlopen
endif()
foreach(consumer IN LISTS consumers)
  add_test(NAME integration.${consumer}
    COMMAND ${CMAKE_COMMAND}
      -D CONSUMER=${consumer}
      -D BITNET_VERSION=${PROJECT_VERSION}
      -D SOURCE_DIR=${PROJECT_SOURCE_DIR}
      -D BINARY_DIR=${PROJECT_BINARY_DIR}
      -D GENERATOR=${CMAKE_GENERATOR}
      -D COMPILER=${CMAKE_CXX_COMPILER}
      -D LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER}
      -P "${CMAKE_CURRENT_LIST_DIR}/run.cmake")
  set_tests_properties(integration.${consumer} PROPERTIES LABELS integration TIMEOUT 600)
endforeach()
# Names that flags change are a compiler's doing too.
foreach(copies IN ITEMS odr two_copies)
  if(TEST integration.${copies})
    set_tests_properties(integration.${copies} PROPERTIES LABELS "integration;copies")
  endif()
endforeach()
if(NOT BITNET_INSTALL)
  set_tests_properties(integration.find_package PROPERTIES DISABLED ON)
endif()

# The programs of README.md compile as printed, and the first one runs.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_test(NAME integration.readme
  COMMAND ${Python3_EXECUTABLE} "${CMAKE_CURRENT_SOURCE_DIR}/integration/readme.py"
    "${PROJECT_SOURCE_DIR}" "${CMAKE_CXX_COMPILER}"
    "${CMAKE_CURRENT_SOURCE_DIR}/data/models/llama-tq2_0.gguf" "${CMAKE_CURRENT_BINARY_DIR}/readme")
# A minute of compiling that another entry waits for begins first.
set_tests_properties(integration.readme PROPERTIES LABELS integration TIMEOUT 900 COST 3
  FIXTURES_SETUP readme_programs)

# The generated single header gives the first of them the same output.
add_test(NAME integration.single_header
  COMMAND ${Python3_EXECUTABLE} -B "${CMAKE_CURRENT_SOURCE_DIR}/integration/single_header.py"
    "${PROJECT_SOURCE_DIR}" "${CMAKE_CXX_COMPILER}"
    "${CMAKE_CURRENT_SOURCE_DIR}/data/models/llama-tq2_0.gguf"
    "${CMAKE_CURRENT_BINARY_DIR}/single_header" "${CMAKE_CURRENT_BINARY_DIR}/readme/program0")
set_tests_properties(integration.single_header PROPERTIES LABELS integration TIMEOUT 900
  FIXTURES_REQUIRED readme_programs)

# No writable variables of the library's own, and nothing that ends the process, prints or looks
# around. What it reads are x86-64's relocations in ELF.
if(UNIX AND NOT APPLE AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  add_test(NAME integration.host_state
    COMMAND ${Python3_EXECUTABLE} -B "${CMAKE_CURRENT_SOURCE_DIR}/integration/host_state/symbols.py"
      "${PROJECT_SOURCE_DIR}" "${CMAKE_CXX_COMPILER}" "${CMAKE_CXX_COMPILER_ID}" "${CMAKE_OBJDUMP}"
      "${CMAKE_CURRENT_BINARY_DIR}/host_state")
  set_tests_properties(integration.host_state PROPERTIES LABELS integration TIMEOUT 900 COST 2)
endif()

# Targets and flags that the library does not serve are refused with a reason.
if(NOT MSVC)
  add_test(NAME integration.refused
    COMMAND ${Python3_EXECUTABLE} -B "${CMAKE_CURRENT_SOURCE_DIR}/integration/refused.py"
      "${PROJECT_SOURCE_DIR}" "${CMAKE_CXX_COMPILER}" "${CMAKE_CURRENT_BINARY_DIR}/refused")
  set_tests_properties(integration.refused PROPERTIES LABELS "integration;copies" TIMEOUT 120)
endif()

# The same binary on processors without AVX or AVX-512, where there is qemu for them.
find_program(BITNET_QEMU_X86_64 qemu-x86_64 DOC "Emulator of other x86-64 processors")
mark_as_advanced(BITNET_QEMU_X86_64)
if(BITNET_QEMU_X86_64 AND TARGET bitnet-cli AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64"
    AND NOT CMAKE_CXX_FLAGS MATCHES "-fsanitize=|-march=")
  add_test(NAME integration.processors
    COMMAND ${Python3_EXECUTABLE} -B "${CMAKE_CURRENT_SOURCE_DIR}/integration/processors_test.py"
      "$<TARGET_FILE:bitnet-cli>" "${BITNET_QEMU_X86_64}" "${CMAKE_CURRENT_SOURCE_DIR}/data")
  set_tests_properties(integration.processors PROPERTIES LABELS integration TIMEOUT 600)
endif()

# The scripts of bench/, on results and programs that are made up.
add_test(NAME integration.bench
  COMMAND ${Python3_EXECUTABLE} -B "${CMAKE_CURRENT_SOURCE_DIR}/integration/bench_test.py"
    "${PROJECT_SOURCE_DIR}/bench")
set_tests_properties(integration.bench PROPERTIES LABELS integration TIMEOUT 120)

# The examples that need no file run and say what they show.
if(BITNET_BUILD_EXAMPLES)
  add_test(NAME examples.custom_architecture COMMAND example-custom_architecture)
  set_tests_properties(examples.custom_architecture PROPERTIES LABELS examples
    PASS_REGULAR_EXPRESSION "tokens:( [0-9]+)+\nweights read for each token: [1-9]")
  add_test(NAME examples.custom_format COMMAND example-custom_format)
  set_tests_properties(examples.custom_format PROPERTIES LABELS examples
    PASS_REGULAR_EXPRESSION "the same bits on every instruction set")
endif()
