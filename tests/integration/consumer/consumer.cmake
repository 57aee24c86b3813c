# The program of every consumer project, and what has to hold of the target it links.
foreach(property IN ITEMS COMPILE_OPTIONS COMPILE_DEFINITIONS LINK_OPTIONS)
  get_target_property(forced bitnet::bitnet INTERFACE_${property})
  if(forced)
    message(FATAL_ERROR "bitnet::bitnet forces ${property} on its users: ${forced}")
  endif()
endforeach()

add_executable(consumer "${CMAKE_CURRENT_LIST_DIR}/main.cpp")
target_link_libraries(consumer PRIVATE bitnet::bitnet)
target_compile_options(consumer PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror)

# For projects that include our source: our own tests, examples and install rules stay away.
function(expect_nothing_else)
  foreach(option IN ITEMS INSTALL BUILD_TESTS BUILD_EXAMPLES BUILD_BENCHMARKS BUILD_FUZZERS)
    if(BITNET_${option})
      message(FATAL_ERROR "BITNET_${option} is on although the project is not top level")
    endif()
  endforeach()
  get_property(targets DIRECTORY "${bitnet_SOURCE_DIR}" PROPERTY BUILDSYSTEM_TARGETS)
  list(REMOVE_ITEM targets bitnet_train) # there where Eigen is
  if(NOT targets STREQUAL "bitnet")
    message(FATAL_ERROR "more targets than the library: ${targets}")
  endif()
endfunction()
