/* A stand-in for libnvidia-ml.so.1, with the cards of stand_in_cuda.c in another order.
 *
 *   STAND_IN_NVML  nvmlReturn_t that nvmlInit_v2 answers; "memory": only nvmlDeviceGetMemoryInfo refuses, as it
 *                  does for cards that share the system's memory; "few": knows none of the cards; "lost": the
 *                  first card (24 GiB) has fallen off the bus; "gone": so far that it has not even a handle;
 *                  "off": nor by its UUID; "still": its figures of memory never move; "crash", "hang": so does
 *                  nvmlInit_v2; "exit": a constructor ends the process
 *   STAND_IN_KIND  of the first card: "cut" or "uncut", see stand_in_cuda.c
 *   STAND_IN_FAIL, STAND_IN_CALLS  see stand_in.h
 *   STAND_IN_MEMORY  a directory, see stand_in_memory.h: as much is free as is not taken
 *
 * Else, of the first card 20 GiB are free, of its slices 1 GiB and 9 GiB, of the second card 2 GiB. Between the two
 * slices there is a place for another. With -DOLD it is of a driver before CUDA 11, which knows no slices.
 */
#include <strings.h>

#include "stand_in.h"
#include "stand_in_memory.h"

enum { CARDS = 2, SLICES = 2, PLACES = 3, SUCCESS = 0, UNINITIALIZED = 1, NOT_SUPPORTED = 3, NOT_FOUND = 6, LOST = 15 };

typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { const char *name, *uuid; unsigned domain, bus, device, function; Memory memory; int major, minor; } Card;
typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; } Pci;
typedef struct { unsigned counts[8]; unsigned long long mib; } Attributes;

static const Card cards[CARDS + SLICES] = {
    {"Stand-in H100", "GPU-c1000000-0102-0304-0506-0708090a0b0c", 1, 0xc1, 0x1f, 7, {24 * GIB, 20 * GIB, 4 * GIB}, 9, 0},
    {"Stand-in L4", "GPU-0a000000-0102-0304-0506-0708090a0b0c", 0, 0x0a, 0, 0, {8 * GIB, 2 * GIB, 6 * GIB}, 8, 9},
    {"Stand-in H100 MIG 1g.12gb", "MIG-51ce0001-0102-0304-0506-0708090a0b0c", 0, 0, 0, 0, {12 * GIB, 1 * GIB, 11 * GIB}, 0, 0},
    {"Stand-in H100 MIG 1g.10gb", "MIG-51ce0002-0102-0304-0506-0708090a0b0c", 0, 0, 0, 0, {10 * GIB, 9 * GIB, 1 * GIB}, 0, 0},
};
static int initialised;

ENDS_AS("STAND_IN_NVML")

#define READY() do { CALLED(); if (!initialised) return UNINITIALIZED; } while (0)

static int count(void) { return is("STAND_IN_NVML", "few") ? 0 : CARDS; }
static int has_no_handle(void) { return is("STAND_IN_NVML", "gone") || is("STAND_IN_NVML", "off"); }

static void write_pci(const Card *card, char *text, int size) {
    snprintf(text, size, "%08X:%02X:%02X.%u", card->domain, card->bus, card->device, card->function);
}

int nvmlInit_v2(void) {
    CALLED();
    start("STAND_IN_NVML");
    if (atoi(setting("STAND_IN_NVML"))) return atoi(setting("STAND_IN_NVML"));
    initialised = 1;
    return SUCCESS;
}

int nvmlShutdown(void) { READY(); initialised = 0; return SUCCESS; }

int nvmlDeviceGetCount_v2(unsigned *number) { READY(); *number = count(); return SUCCESS; }

int nvmlDeviceGetHandleByIndex_v2(unsigned place, const Card **handle) {
    READY();
    if (place == 0 && has_no_handle()) return LOST;
    *handle = &cards[place];
    return SUCCESS;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, const Card **handle) {
    READY();
    for (int card = 0; card < (count() ? CARDS + SLICES : 0); card++)
        if (strcmp(uuid, cards[card].uuid) == 0)
            return *handle = &cards[card], card == 0 && is("STAND_IN_NVML", "off") ? LOST : SUCCESS;
    return NOT_FOUND;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *pci, const Card **handle) {
    char text[32];
    READY();
    for (int card = 0; card < count(); card++) {
        write_pci(&cards[card], text, sizeof text);
        if (strcasecmp(pci, text) == 0 || strcasecmp(pci, text + 4) == 0) return *handle = &cards[card], SUCCESS;
    }
    return NOT_FOUND;
}

int nvmlDeviceGetUUID(const Card *card, char *text, unsigned size) { READY(); snprintf(text, size, "%s", card->uuid); return SUCCESS; }
int nvmlDeviceGetName(const Card *card, char *text, unsigned size) { READY(); snprintf(text, size, "%s", card->name); return SUCCESS; }

int nvmlDeviceGetPciInfo_v3(const Card *card, Pci *pci) {
    READY();
    write_pci(card, pci->bus_id, sizeof pci->bus_id);
    return SUCCESS;
}

int nvmlDeviceGetCudaComputeCapability(const Card *card, int *major, int *minor) {
    READY();
    *major = card->major;
    *minor = card->minor;
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(const Card *card, Memory *memory) {
    READY();
    if (is("STAND_IN_NVML", "memory")) return NOT_SUPPORTED;
    if (card == cards && is("STAND_IN_NVML", "lost")) return LOST;
    *memory = card->memory;
    if (is("STAND_IN_NVML", "still")) memory->free = memory->total - KEPT;
    else if (memory_directory()) memory->free = memory_free(card->uuid, memory->total);
    return SUCCESS;
}

#ifndef OLD
static int in_mig_mode(const Card *card) { return card == cards && (is("STAND_IN_KIND", "cut") || is("STAND_IN_KIND", "uncut")); }

int nvmlDeviceGetMigMode(const Card *card, unsigned *mode, unsigned *pending) {
    READY();
    *mode = *pending = in_mig_mode(card);
    return SUCCESS;
}

int nvmlDeviceGetMaxMigDeviceCount(const Card *card, unsigned *number) { READY(); *number = PLACES; return SUCCESS; }

int nvmlDeviceGetMigDeviceHandleByIndex(const Card *card, unsigned place, const Card **handle) {
    READY();
    if (!in_mig_mode(card) || is("STAND_IN_KIND", "uncut") || place == 1) return NOT_FOUND;
    *handle = &cards[CARDS + place / 2];
    return SUCCESS;
}

int nvmlDeviceGetGpuInstanceId(const Card *card, unsigned *number) { READY(); *number = card == &cards[CARDS] ? 1 : 5; return SUCCESS; }
int nvmlDeviceGetComputeInstanceId(const Card *card, unsigned *number) { READY(); *number = 0; return SUCCESS; }

int nvmlDeviceGetAttributes_v2(const Card *card, Attributes *attributes) {
    READY();
    if (card < &cards[CARDS]) return NOT_SUPPORTED;
    attributes->mib = card->memory.total / (1024 * 1024);
    return SUCCESS;
}
#endif
