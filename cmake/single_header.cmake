# Target single_header: the whole library as build/<preset>/single_header/bitnet.hpp.
find_package(Python3 QUIET COMPONENTS Interpreter)
if(NOT Python3_Interpreter_FOUND)
  return()
endif()
set(bitnet_single_header "${PROJECT_BINARY_DIR}/single_header/bitnet.hpp")
set(bitnet_single_header_script "${CMAKE_CURRENT_LIST_DIR}/single_header.py")
file(MAKE_DIRECTORY "${PROJECT_BINARY_DIR}/single_header")
add_custom_command(OUTPUT "${bitnet_single_header}"
  COMMAND ${Python3_EXECUTABLE} "${bitnet_single_header_script}" "${bitnet_single_header}"
  DEPENDS "${bitnet_single_header_script}" ${bitnet_headers} ${bitnet_bodies}
  COMMENT "Generating ${bitnet_single_header}" VERBATIM)
add_custom_target(single_header DEPENDS "${bitnet_single_header}")
