/* What every stand-in driver does when one of its functions is called, as an environment says.
 *
 *   STAND_IN_FAIL   function=result, several separated by commas: those functions answer that
 *   STAND_IN_CALLS  file to which the name of every function called is appended
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *setting(const char *name) {
    const char *value = getenv(name);
    return value ? value : "";
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
