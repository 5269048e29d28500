/* A stand-in for libamdhip64.so: AMD's HIP, with two cards and the faults that an environment describes.
 *
 *   STAND_IN_INIT     hipInit: a hipError_t that it answers; "crash", "hang"; "exit": a constructor ends the process
 *   STAND_IN_DEEP     what hipMalloc does on the second card alone: a hipError_t, or "crash"
 *   STAND_IN_PLACE    a hipError_t that hipDeviceGetPCIBusId answers for the second card alone
 *   STAND_IN_FAIL     function=hipError_t, see stand_in.h
 *   STAND_IN_SABOTAGE "last": the last fill gets its last word wrong; "idle": nothing is filled; "uncopied"
 *   STAND_IN_ONLY     the second card is not supported
 *   STAND_IN_ORDER    "kernel": HIP counts as the kernel does; else the other way round
 *   STAND_IN_CALLS    a file, see stand_in.h
 *   STAND_IN_MEMORY   a directory, see stand_in_memory.h: memory is counted, also in the kernel's files below
 *                     GPUDISCOVER_ROOT; a process's first block costs 300 MiB more, and what is not there is refused
 *   ROCR_VISIBLE_DEVICES  one number or one UUID, as the engine sets it
 *
 * The cards, in the kernel's order: at 0000:0a:00.0, and at 0001:c1:1f.7. HIP writes 0 for every PCI function.
 * With -DOLD it has the properties of ROCm 5, and with -DANCIENT it knows no UUIDs.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stand_in.h"
#include "stand_in_memory.h"

#define CONTEXT (300ull * 1024 * 1024)
#define LARGE (1024 * 1024)
enum { CARDS = 2, BLOCKS = 256, SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_DEVICE = 101 };

typedef struct { const char *name, *uuid, *pci, *kernel, *target; unsigned long long memory; int integrated; } Card;
static const Card cards[CARDS] = {
    {"Stand-in 780M", "", "0000:0A:00.0", "0000:0a:00.0", "gfx1103", 8 * GIB, 1},
    {"Stand-in MI210", "c1000000deadbeef", "0001:C1:1F.0", "0001:c1:1f.7", "gfx90a:sramecc+:xnack-", 64 * GIB, 0},
};
static int shown[CARDS], shown_count, current, allocated, fills;
static void *blocks[BLOCKS];
int hipFree(void *memory);

#define LISTED(device) do { CALLED(); if (device < 0 || device >= shown_count) return INVALID_DEVICE; } while (0)

ENDS_AS("STAND_IN_INIT")

/* Tell the kernel's file how much of the current card is taken. */
static void tell_kernel(void) {
    const Card *card = &cards[shown[current]];
    char path[4096];
    snprintf(path, sizeof path, "%s/sys/bus/pci/devices/%s/mem_info_vram_used", setting("GPUDISCOVER_ROOT"), card->kernel);
    FILE *file = fopen(path, "w");
    if (!file) return;
    fprintf(file, "%llu\n", card->memory - memory_free(card->kernel, card->memory));
    fclose(file);
}

/* Take a block of the current card, where that is counted. The first one brings the context. */
static int taken(void *block, size_t size) {
    const Card *card = &cards[shown[current]];
    if (!memory_directory()) return SUCCESS;
    if (memory_free(card->kernel, card->memory) < size + (allocated ? 0 : CONTEXT)) return OUT_OF_MEMORY;
    if (!allocated) memory_block(card->kernel, 0, CONTEXT);
    memory_block(card->kernel, (uintptr_t)block, size);
    tell_kernel();
    return SUCCESS;
}

static void given(void *block) {
    if (!memory_directory()) return;
    memory_block(cards[shown[current]].kernel, (uintptr_t)block, 0);
    if (allocated == 1) memory_block(cards[shown[current]].kernel, 0, 0);
    tell_kernel();
}

__attribute__((destructor)) static void unload(void) {
    for (int place = 0; place < BLOCKS; place++)
        if (blocks[place]) hipFree(blocks[place]);
}

static int hidden(int card) {
    const char *mask = getenv("ROCR_VISIBLE_DEVICES");
    if (card == 1 && *setting("STAND_IN_ONLY")) return 1;
    if (!mask) return 0;
    if (strncmp(mask, "GPU-", 4) == 0) return strcmp(mask + 4, cards[card].uuid) != 0;
    return !*mask || atoi(mask) != card;
}

int hipInit(unsigned flags) {
    CALLED();
    start("STAND_IN_INIT");
    if (atoi(setting("STAND_IN_INIT"))) return atoi(setting("STAND_IN_INIT"));
    shown_count = 0;
    for (int place = 0; place < CARDS; place++) {
        int card = is("STAND_IN_ORDER", "kernel") ? place : CARDS - 1 - place;
        if (!hidden(card)) shown[shown_count++] = card;
    }
    return flags ? INVALID_VALUE : shown_count ? SUCCESS : NO_DEVICE;
}

int hipDriverGetVersion(int *version) { CALLED(); *version = 60342134; return SUCCESS; }
int hipGetDeviceCount(int *count) { CALLED(); *count = shown_count; return SUCCESS; }

int hipDeviceGetPCIBusId(char *id, int size, int device) {
    LISTED(device);
    if (shown[device] == 1 && atoi(setting("STAND_IN_PLACE"))) return atoi(setting("STAND_IN_PLACE"));
    snprintf(id, size, "%s", cards[shown[device]].pci);
    return SUCCESS;
}

int hipDeviceGetName(char *name, int size, int device) {
    LISTED(device);
    snprintf(name, size, "%s", cards[shown[device]].name);
    return SUCCESS;
}

#ifndef ANCIENT
int hipDeviceGetUuid(char uuid[16], int device) {
    LISTED(device);
    memset(uuid, 0, 16);
    memcpy(uuid, cards[shown[device]].uuid, strlen(cards[shown[device]].uuid));
    return SUCCESS;
}
#endif

int hipDeviceGetAttribute(int *value, int attribute, int device) {
    LISTED(device);
    if (attribute != 16) return INVALID_VALUE;
    *value = cards[shown[device]].integrated;
    return SUCCESS;
}

int hipDeviceTotalMem(size_t *bytes, int device) { LISTED(device); *bytes = cards[shown[device]].memory; return SUCCESS; }

#ifdef OLD
enum { TARGET_AT = 396, PROPERTIES = 792 };
int hipGetDeviceProperties(char *properties, int device) {
#else
enum { TARGET_AT = 1160, PROPERTIES = 1472 };
int hipGetDevicePropertiesR0600(char *properties, int device) {
#endif
    LISTED(device);
    memset(properties, 0, PROPERTIES);
    strcpy(properties, cards[shown[device]].name);
    strcpy(properties + TARGET_AT, cards[shown[device]].target);
    return SUCCESS;
}

int hipSetDevice(int device) { LISTED(device); current = device; fills = 0; return SUCCESS; }

int hipMemGetInfo(size_t *free_bytes, size_t *total) {
    CALLED();
    *total = cards[shown[current]].memory;
    *free_bytes = memory_directory() ? memory_free(cards[shown[current]].kernel, *total) : *total - 3 * GIB;
    return SUCCESS;
}

int hipMalloc(void **memory, size_t size) {
    CALLED();
    if (shown[current] == 1 && is("STAND_IN_DEEP", "crash")) crash();
    if (shown[current] == 1 && atoi(setting("STAND_IN_DEEP"))) return atoi(setting("STAND_IN_DEEP"));
    int place = 0;
    while (place < BLOCKS && blocks[place]) place++;
    *memory = malloc(memory_directory() && size > LARGE ? 1 : size);
    if (place == BLOCKS || taken(*memory, size)) return free(*memory), OUT_OF_MEMORY;
    blocks[place] = *memory;
    allocated++;
    return SUCCESS;
}

int hipFree(void *memory) {
    CALLED();
    for (int place = 0; place < BLOCKS; place++) {
        if (blocks[place] != memory) continue;
        given(memory);
        free(memory);
        blocks[place] = NULL;
        allocated--;
        return SUCCESS;
    }
    return INVALID_VALUE;
}

int hipMemcpyHtoD(void *to, const void *from, size_t size) { CALLED(); memcpy(to, from, size); return SUCCESS; }
int hipMemcpyDtoD(void *to, const void *from, size_t size) {
    CALLED();
    if (!is("STAND_IN_SABOTAGE", "uncopied")) memcpy(to, from, size);
    return SUCCESS;
}

int hipMemcpyDtoH(void *to, const void *from, size_t size) { CALLED(); memcpy(to, from, size); return SUCCESS; }
int hipDeviceSynchronize(void) { CALLED(); return SUCCESS; }

int hipMemsetD32(void *memory, int word, size_t count) {
    CALLED();
    if (is("STAND_IN_SABOTAGE", "idle")) return SUCCESS;
    for (size_t place = 0; place < count; place++) ((int *)memory)[place] = word;
    if (++fills == 16 && is("STAND_IN_SABOTAGE", "last")) ((int *)memory)[count - 1] = 0xBAD;
    return SUCCESS;
}
