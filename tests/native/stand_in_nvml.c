/* A stand-in for libnvidia-ml.so.1, with the cards of stand_in_cuda.c in another order.
 *
 *   STAND_IN_NVML  nvmlReturn_t that nvmlInit_v2 answers; "memory": only nvmlDeviceGetMemoryInfo refuses, as it
 *                  does for cards that share the system's memory; "few": lacks all of the cards
 *
 * Of the first card 2 GiB are free, of the second 20 GiB, of a MIG slice of the first 1 GiB.
 */
#include <stdlib.h>
#include <string.h>

#define GIB (1024ull * 1024 * 1024)
enum { SUCCESS = 0, UNINITIALIZED = 1, NOT_SUPPORTED = 3, NOT_FOUND = 6 };

typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { const char *uuid, *pci; Memory memory; } Card;
static Card cards[] = {
    {"GPU-c1000000-0102-0304-0506-0708090a0b0c", "0001:c1:1f.7", {24 * GIB, 20 * GIB, 4 * GIB}},
    {"GPU-0a000000-0102-0304-0506-0708090a0b0c", "0000:0a:00.0", {8 * GIB, 2 * GIB, 6 * GIB}},
    {"MIG-0a000000-0102-0304-0506-0708090a0b0c", "", {4 * GIB, 1 * GIB, 3 * GIB}},
};
static int initialised;

static const char *setting(void) {
    const char *value = getenv("STAND_IN_NVML");
    return value ? value : "";
}

static int find(const char *key, const char *uuid_or_pci, int card, void **handle) {
    if (!*key || strcmp(key, uuid_or_pci) != 0) return NOT_FOUND;
    *handle = &cards[card];
    return SUCCESS;
}

int nvmlInit_v2(void) {
    initialised = !atoi(setting());
    return atoi(setting());
}

int nvmlShutdown(void) { initialised = 0; return SUCCESS; }

int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle) {
    if (!initialised) return UNINITIALIZED;
    for (int card = 0; card < 3 && strcmp(setting(), "few") != 0; card++)
        if (find(uuid, cards[card].uuid, card, handle) == SUCCESS) return SUCCESS;
    return NOT_FOUND;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *pci, void **handle) {
    if (!initialised) return UNINITIALIZED;
    for (int card = 0; card < 3 && strcmp(setting(), "few") != 0; card++)
        if (find(pci, cards[card].pci, card, handle) == SUCCESS) return SUCCESS;
    return NOT_FOUND;
}

int nvmlDeviceGetMemoryInfo(void *handle, Memory *memory) {
    if (!initialised) return UNINITIALIZED;
    if (strcmp(setting(), "memory") == 0) return NOT_SUPPORTED;
    *memory = ((Card *)handle)->memory;
    return SUCCESS;
}
