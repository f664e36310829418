// The function that a failed check of the standard library's containers calls (_GLIBCXX_ASSERTIONS in hardening.cmake).
// libstdc++ has it from GCC 12 on; with one of its own, a wheel also runs on systems whose libstdc++ is older.
#include <cstdio>
#include <cstdlib>
#include <string>

#if defined(_GLIBCXX_ASSERTIONS) && defined(_GLIBCXX_VERBOSE_ASSERT) && _GLIBCXX_RELEASE >= 12

void std::__glibcxx_assert_fail(const char* file, int line, const char* function, const char* condition) noexcept {
    std::fprintf(stderr, "%s:%d: %s: '%s' doesn't hold\n", file, line, function, condition);
    std::abort();
}

#endif
