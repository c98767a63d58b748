# Finds libtorch as the torch wheel ships it. SARA_PYTHON names the interpreter whose torch is used;
# CMAKE_PREFIX_PATH may point at a libtorch instead.
find_program(SARA_PYTHON NAMES python3 HINTS ${CMAKE_SOURCE_DIR}/.venv/bin NO_DEFAULT_PATH DOC "Python that has torch")
if(NOT SARA_PYTHON)
  find_program(SARA_PYTHON NAMES python3 python)
endif()
if(SARA_PYTHON)
  execute_process(COMMAND ${SARA_PYTHON} -c "import torch; print(torch.utils.cmake_prefix_path)"
    OUTPUT_VARIABLE sara_torch_prefix OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  list(APPEND CMAKE_PREFIX_PATH ${sara_torch_prefix})
endif()
find_package(Torch REQUIRED)
if(Torch_VERSION VERSION_LESS 2.11 OR Torch_VERSION VERSION_GREATER_EQUAL 2.15)
  message(FATAL_ERROR "torch ${Torch_VERSION} found, 2.11 to 2.14 needed. Fix: run tools/setup.sh, or set SARA_PYTHON to a Python with such a torch")
endif()
message(STATUS "torch ${Torch_VERSION}")

# One precompiled header for every file that needs torch. It holds what the sources share, not <torch/torch.h>: that one
# is a quarter larger to load and no file needs the rest of it.
file(WRITE ${CMAKE_BINARY_DIR}/pch/torch_pch.cpp "// Carrier of the precompiled torch header.\n")
add_library(sara_torch_pch STATIC ${CMAKE_BINARY_DIR}/pch/torch_pch.cpp)
target_link_libraries(sara_torch_pch PUBLIC torch)
target_precompile_headers(sara_torch_pch PRIVATE <torch/types.h> <torch/utils.h> <torch/nn/module.h>)
