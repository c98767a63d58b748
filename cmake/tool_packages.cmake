# What the command line needs beyond libtorch: image codecs, tokenizers, flag parsing.
find_package(PkgConfig REQUIRED)
pkg_check_modules(IMAGE_CODECS REQUIRED IMPORTED_TARGET libjpeg libpng zlib libwebp libwebpdemux)
pkg_check_modules(TEXT REQUIRED IMPORTED_TARGET libutf8proc libpcre2-8)
find_path(TOMLPLUSPLUS_INCLUDE toml++/toml.h REQUIRED)
