# Install rules: the headers, the licence and a package that find_package(bitnet) finds.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(bitnet_package_dir "${CMAKE_INSTALL_DATADIR}/cmake/bitnet")
install(TARGETS bitnet EXPORT bitnet-targets
  FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
  FILE_SET x86 DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
  FILE_SET arm DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
  FILE_SET bodies DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
  FILE_SET training DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(EXPORT bitnet-targets NAMESPACE bitnet:: DESTINATION "${bitnet_package_dir}")
configure_package_config_file(cmake/bitnet-config.cmake.in bitnet-config.cmake
  INSTALL_DESTINATION "${bitnet_package_dir}" NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(bitnet-config-version.cmake
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES
  "${CMAKE_CURRENT_BINARY_DIR}/bitnet-config.cmake"
  "${CMAKE_CURRENT_BINARY_DIR}/bitnet-config-version.cmake"
  DESTINATION "${bitnet_package_dir}")
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DATADIR}/licenses/bitnet")
