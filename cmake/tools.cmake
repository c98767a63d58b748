# The rooms and the program that need more than libtorch.
sara_add_room(tokenizers DEPENDS files LIBRARIES PkgConfig::TEXT)
sara_add_room(data TORCH DEPENDS weights tokenizers)
sara_add_room(pipelines TORCH DEPENDS data samplers methods)
include(distributed)
sara_add_room(train TORCH DEPENDS pipelines distributed)
sara_add_room(metrics TORCH DEPENDS data)

file(GLOB cli_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/cli/*.cpp)
if(cli_sources)
  add_executable(sara ${cli_sources})
  target_link_libraries(sara PRIVATE sara_train sara_metrics)
  target_include_directories(sara PRIVATE ${TOMLPLUSPLUS_INCLUDE})
  target_precompile_headers(sara REUSE_FROM sara_torch_pch)
  execute_process(COMMAND git -C ${CMAKE_SOURCE_DIR} rev-parse --short HEAD OUTPUT_VARIABLE sara_commit
    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(EXISTS ${CMAKE_SOURCE_DIR}/.git/logs/HEAD)  # the label is that of the sources built, not of the first configuration
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/.git/logs/HEAD)
  endif()
  set_source_files_properties(cli/version.cpp PROPERTIES SKIP_PRECOMPILE_HEADERS ON COMPILE_DEFINITIONS
    "SARA_VERSION=\"${PROJECT_VERSION}\";SARA_COMMIT=\"${sara_commit}\";SARA_MODELS_DIR=\"${CMAKE_SOURCE_DIR}/models\"")
endif()
