# cmake -P: configures, builds and runs one consumer project in a fresh folder of the build tree.
set(work "${BINARY_DIR}/integration/${CONSUMER}")
file(REMOVE_RECURSE "${work}")
file(MAKE_DIRECTORY "${work}")

function(step)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "failed (${code}): ${ARGN}")
  endif()
endfunction()

set(prefix "")
if(CONSUMER STREQUAL "find_package")
  set(prefix "${work}/prefix")
  step(${CMAKE_COMMAND} --install "${BINARY_DIR}" --prefix "${prefix}")
endif()
# find_package must take the staged package and not a checkout.
step(${CMAKE_COMMAND} -G ${GENERATOR} -S "${SOURCE_DIR}/tests/integration/${CONSUMER}"
  -B "${work}/build" -D CMAKE_CXX_COMPILER=${COMPILER} -D CMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}
  -D "CMAKE_PREFIX_PATH=${prefix}" -D CMAKE_FIND_PACKAGE_NO_PACKAGE_REGISTRY=ON
  -D BITNET_SOURCE_DIR=${SOURCE_DIR} -D BITNET_EXPECTED_VERSION=${BITNET_VERSION})
step(${CMAKE_COMMAND} --build "${work}/build")
step("${work}/build/consumer")
