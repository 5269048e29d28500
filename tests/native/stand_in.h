/* What every stand-in driver does when it is started and when one of its functions is called, as an environment says.
 *
 *   STAND_IN_FAIL   function=result, several separated by commas: those functions answer that
 *   STAND_IN_CALLS  file to which the name of every function called is appended
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GIB (1024ull * 1024 * 1024)

static const char *setting(const char *name) {
    const char *value = getenv(name);
    return value ? value : "";
}

static inline int is(const char *name, const char *value) { return strcmp(setting(name), value) == 0; }
static inline void crash(void) { *(volatile int *)0 = 0; }

/* Have a constructor end the process where a variable is "exit". */
#define ENDS_AS(variable) \
    __attribute__((constructor)) static void load(void) { if (is(variable, "exit")) _exit(3); }

/* Start as a variable says: "crash", "hang", or well. */
static inline void start(const char *variable) {
    if (is(variable, "crash")) crash();
    while (is(variable, "hang")) pause();
}

/* Note a call, and say what it is to answer: 0 unless it is to fail. */
static int called(const char *function) {
    const char *path = setting("STAND_IN_CALLS"), *fail = setting("STAND_IN_FAIL");
    size_t length = strlen(function);
    if (*path) {
        FILE *calls = fopen(path, "a");
        fprintf(calls, "%s\n", function);
        fclose(calls);
    }
    for (; fail; fail = strchr(fail, ',') ? strchr(fail, ',') + 1 : NULL)
        if (strncmp(fail, function, length) == 0 && fail[length] == '=') return atoi(fail + length + 1);
    return 0;
}

#define CALLED() do { int result_ = called(__func__); if (result_) return result_; } while (0)
