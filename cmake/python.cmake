# The Python package: build/python/sara is importable from the build tree; `pip install .` installs the same files.
find_package(Python COMPONENTS Interpreter Development.Module REQUIRED)
file(GLOB python_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/python/src/*.cpp)
Python_add_library(sara_python MODULE WITH_SOABI ${python_sources})
target_link_libraries(sara_python PRIVATE sara_methods ${SARA_TORCH_PYTHON_LIBRARY})
target_include_directories(sara_python PRIVATE ${CMAKE_SOURCE_DIR})
target_compile_definitions(sara_python PRIVATE TORCH_EXTENSION_NAME=_core)
target_link_options(sara_python PRIVATE LINKER:--exclude-libs,ALL)
# torch's libraries are those of the torch beside the installed package, never copies.
set_target_properties(sara_python PROPERTIES
  OUTPUT_NAME _core
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/python/sara
  CXX_VISIBILITY_PRESET hidden
  UNITY_BUILD_BATCH_SIZE 0
  BUILD_WITH_INSTALL_RPATH ON
  INSTALL_RPATH "$ORIGIN/../torch/lib")

string(REGEX MATCH "^[0-9]+\\.[0-9]+" sara_torch_minor ${Torch_VERSION})
configure_file(${CMAKE_SOURCE_DIR}/python/_build_info.py.in ${CMAKE_BINARY_DIR}/python/sara/_build_info.py @ONLY)
file(GLOB python_files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/python/sara/*.py ${CMAKE_SOURCE_DIR}/python/sara/*.pyi ${CMAKE_SOURCE_DIR}/python/sara/py.typed)
foreach(file ${python_files})
  get_filename_component(name ${file} NAME)
  file(CREATE_LINK ${file} ${CMAKE_BINARY_DIR}/python/sara/${name} SYMBOLIC)
endforeach()
install(TARGETS sara_python LIBRARY DESTINATION sara COMPONENT python)
install(FILES ${CMAKE_BINARY_DIR}/python/sara/_build_info.py DESTINATION sara COMPONENT python)
