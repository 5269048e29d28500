/* What stand-in drivers know of the memory that all processes take, in the directory STAND_IN_MEMORY.
 *
 * Each block is a file <uuid>-<pid>-<name> of its length, without contents; of processes that have ended it counts no
 * more. 1 GiB of every card is always taken.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEPT (1024ull * 1024 * 1024)

static const char *memory_directory(void) {
    const char *path = getenv("STAND_IN_MEMORY");
    return path && *path ? path : NULL;
}

static unsigned long long memory_free(const char *uuid, unsigned long long total) {
    unsigned long long taken = KEPT;
    DIR *directory = opendir(memory_directory());
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        char path[4096];
        struct stat block;
        if (strncmp(entry->d_name, uuid, strlen(uuid)) != 0) continue;
        snprintf(path, sizeof path, "%s/%s", memory_directory(), entry->d_name);
        if (kill(atoi(entry->d_name + strlen(uuid) + 1), 0) == 0 && stat(path, &block) == 0) taken += block.st_size;
    }
    if (directory) closedir(directory);
    return taken < total ? total - taken : 0;
}

/* Take a block, or give it back (size 0). */
__attribute__((unused)) static void memory_block(const char *uuid, unsigned long long name, unsigned long long size) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s-%d-%llx", memory_directory(), uuid, (int)getpid(), name);
    if (!size) {
        unlink(path);
        return;
    }
    fclose(fopen(path, "w"));
    if (truncate(path, (off_t)size)) abort();
}
