# Finds libtorch as the torch wheel ships it. SARA_PYTHON names the interpreter whose torch is used;
# CMAKE_PREFIX_PATH may point at a libtorch instead.
if(SKBUILD AND Python_EXECUTABLE)  # pip install: the environment that sara is installed into
  set(SARA_PYTHON ${Python_EXECUTABLE} CACHE FILEPATH "Python that has torch")
endif()
find_program(SARA_PYTHON NAMES python3 HINTS ${CMAKE_SOURCE_DIR}/.venv/bin NO_DEFAULT_PATH DOC "Python that has torch")
if(NOT SARA_PYTHON)
  find_program(SARA_PYTHON NAMES python3 python)
endif()
if(SARA_PYTHON)
  set(ask_torch ${SARA_PYTHON} -c "print(__import__('torch').utils.cmake_prefix_path)")
  if(SKBUILD)  # pip's build isolation hides the environment behind PYTHONPATH
    execute_process(COMMAND ${CMAKE_COMMAND} -E env --unset=PYTHONPATH --unset=PYTHONNOUSERSITE ${ask_torch}
      OUTPUT_VARIABLE sara_torch_prefix OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  endif()
  if(NOT sara_torch_prefix)
    execute_process(COMMAND ${ask_torch} OUTPUT_VARIABLE sara_torch_prefix OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  endif()
  list(APPEND CMAKE_PREFIX_PATH ${sara_torch_prefix})
  if(SKBUILD AND NOT sara_torch_prefix)
    message(FATAL_ERROR "no torch in ${SARA_PYTHON} (expected 2.11 to 2.14). Fix: pip install torch there first, then sara")
  endif()
endif()
find_package(Torch REQUIRED)
if(Torch_VERSION VERSION_LESS 2.11 OR Torch_VERSION VERSION_GREATER_EQUAL 2.15)
  message(FATAL_ERROR "torch ${Torch_VERSION} found, 2.11 to 2.14 needed. Fix: run tools/setup.sh, or set SARA_PYTHON to a Python with such a torch")
endif()
message(STATUS "torch ${Torch_VERSION}")

# at::parallel_for is a loop on one thread in every file that is compiled without OpenMP. The threads must be torch's own: its
# wheel brings their library along.
find_package(OpenMP REQUIRED COMPONENTS CXX)
add_compile_options(${OpenMP_CXX_FLAGS})
file(GLOB sara_openmp ${TORCH_INSTALL_PREFIX}/lib/libgomp*.so* ${TORCH_INSTALL_PREFIX}/../torch.libs/libgomp*.so*)
if(sara_openmp)
  list(GET sara_openmp 0 sara_openmp)
else()
  set(sara_openmp ${OpenMP_CXX_LIBRARIES})
endif()
message(STATUS "OpenMP ${sara_openmp}")
link_libraries(${sara_openmp})

# The Python module needs torch's Python library and Python's headers. A library that goes into a module must be
# position independent, and so must the precompiled header.
find_library(SARA_TORCH_PYTHON_LIBRARY torch_python PATHS ${TORCH_INSTALL_PREFIX}/lib NO_DEFAULT_PATH)
set(Python_EXECUTABLE ${SARA_PYTHON})
find_package(Python QUIET COMPONENTS Interpreter Development.Module)
if(SARA_TORCH_PYTHON_LIBRARY AND Python_Development.Module_FOUND)
  set(sara_python_possible ON)
else()
  set(sara_python_possible OFF)
endif()
option(SARA_PYTHON_MODULE "Build the Python package (build/python/sara)" ${sara_python_possible})
if(NOT SARA_PYTHON_MODULE)
  message(STATUS "the Python package is not built (it needs torch's Python library and Python's headers)")
else()
  set(CMAKE_POSITION_INDEPENDENT_CODE ON)
  set(CMAKE_CXX_COMPILE_OPTIONS_PIE ${CMAKE_CXX_COMPILE_OPTIONS_PIC})  # programs too: with -fPIE the header would not fit them
  add_compile_options(-fno-semantic-interposition)
endif()

# One precompiled header for every file that needs torch. It holds what the sources share, not <torch/torch.h>: that one
# is a quarter larger to load and no file needs the rest of it.
file(WRITE ${CMAKE_BINARY_DIR}/pch/torch_pch.cpp "// Carrier of the precompiled torch header.\n")
add_library(sara_torch_pch STATIC ${CMAKE_BINARY_DIR}/pch/torch_pch.cpp)
target_link_libraries(sara_torch_pch PUBLIC torch)
target_precompile_headers(sara_torch_pch PRIVATE <torch/types.h> <torch/utils.h> <torch/nn/module.h>)
