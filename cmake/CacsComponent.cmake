# cacs_component(NAME SOURCES ... [DEPS ...] [LIBS ...] [TESTS ...] [THREADED_TESTS ...])
#
# One folder of src/ is one static library cacs_NAME and at most one test program NAME_test, made of the *_test.cc files
# beside the code. DEPS are other components: they may only point downwards (scripts/check-layers.sh holds the list).
# THREADED_TESTS go into a second program NAME_threaded_test, labelled `threaded`: the ones also run under TSan.

add_library(cacs_flags INTERFACE)
target_compile_options(cacs_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor -Woverloaded-virtual
  -Wcast-align -Wnull-dereference -Wdouble-promotion -Wformat=2 -Werror)
target_compile_definitions(cacs_flags INTERFACE _FILE_OFFSET_BITS=64 SPDLOG_FMT_EXTERNAL CACS_VERSION="${PROJECT_VERSION}")
target_include_directories(cacs_flags INTERFACE ${PROJECT_SOURCE_DIR}/src)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 reports false positives of the first three in inlined library code (PR105562, PR105593 and kin); the last
  # complains of designated initialisers that leave members at their defaults, which is what they are for.
  target_compile_options(cacs_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-maybe-uninitialized -Wno-restrict -Wno-null-dereference -Wno-missing-field-initializers>)
endif()
if(CACS_SANITIZE STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(CACS_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  add_link_options(-fsanitize=thread)
  # GCC's TSan does not model std::atomic_thread_fence; libraries use it, we do not.
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Wno-tsan>)
endif()

function(cacs_test_program name component label)
  add_executable(${name} ${ARGN})
  if(NOT CACS_UNIT_TESTS)
    set_target_properties(${name} PROPERTIES EXCLUDE_FROM_ALL ON)
  endif()
  target_link_libraries(${name} PRIVATE cacs_flags ${component} GTest::gtest_main GTest::gmock)
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS "${label}" TIMEOUT 300)
endfunction()

function(cacs_component name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LIBS;TESTS;THREADED_TESTS" ${ARGN})
  add_library(cacs_${name} STATIC ${ARG_SOURCES})
  target_link_libraries(cacs_${name} PRIVATE cacs_flags)
  foreach(dep ${ARG_DEPS})
    target_link_libraries(cacs_${name} PUBLIC cacs_${dep})
  endforeach()
  target_link_libraries(cacs_${name} PUBLIC ${ARG_LIBS})
  if(NOT name STREQUAL "base")
    target_precompile_headers(cacs_${name} REUSE_FROM cacs_base)
  endif()
  if(CACS_TESTS AND ARG_TESTS)
    cacs_test_program(${name}_test cacs_${name} unit ${ARG_TESTS})
  endif()
  if(CACS_TESTS AND ARG_THREADED_TESTS)
    cacs_test_program(${name}_threaded_test cacs_${name} "unit;threaded" ${ARG_THREADED_TESTS})
  endif()
endfunction()

# cacs_fuzz_target(NAME COMPONENT SOURCE): a libFuzzer program, built when CACS_FUZZ is on (clang only). Run it with
# -max_total_time=SECONDS; a finding ends it with a failure and leaves the input in a file.
if(CACS_FUZZ)
  # The code under test has to be instrumented too, so this goes to everything.
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
endif()
function(cacs_fuzz_target name component source)
  if(NOT CACS_FUZZ)
    return()
  endif()
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE cacs_flags cacs_${component} -fsanitize=fuzzer)
endfunction()
