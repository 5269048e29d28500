/* A stand-in for libcuda.so.1 that counts and names devices, and does nothing else.
 *
 *   STAND_IN_GPUS         the machine's cards: UUIDs as nvidia-smi writes them, separated by commas
 *   CUDA_VISIBLE_DEVICES  read once, in cuInit, as the CUDA Programming Guide says: numbers, UUIDs or the
 *                         beginning of one; the first entry that is none ends the list
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_DEVICES 16
enum { SUCCESS = 0, INVALID_VALUE = 1, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101 };

typedef struct { unsigned char bytes[16]; } Uuid;

static char cards[MAX_DEVICES][64];
static int card_count, shown[MAX_DEVICES], shown_count = -1;

static int split(const char *list, char words[MAX_DEVICES][64]) {
    int count = 0;
    while (list && count < MAX_DEVICES) {
        const char *comma = strchr(list, ',');
        int length = comma ? (int)(comma - list) : (int)strlen(list);
        snprintf(words[count++], 64, "%.*s", length, list);
        list = comma ? comma + 1 : NULL;
    }
    return count;
}

/* The card that an entry of the mask names, or -1. */
static int named(const char *entry) {
    char *end;
    long number = strtol(entry, &end, 10);
    if (*entry && !*end) return number >= 0 && number < card_count ? (int)number : -1;
    int found = -1;
    if (strncmp(entry, "GPU-", 4) != 0) return -1;
    for (int card = 0; card < card_count; card++) {
        if (strncasecmp(cards[card], entry, strlen(entry)) != 0) continue;
        if (found >= 0) return -1; /* not unique */
        found = card;
    }
    return found;
}

int cuInit(unsigned int flags) {
    if (flags) return INVALID_VALUE;
    if (shown_count < 0) {
        char entries[MAX_DEVICES][64];
        const char *mask = getenv("CUDA_VISIBLE_DEVICES");
        card_count = split(getenv("STAND_IN_GPUS"), cards);
        int entry_count = mask ? split(mask, entries) : card_count;
        for (shown_count = 0; shown_count < entry_count; shown_count++) {
            int card = mask ? named(entries[shown_count]) : shown_count;
            if (card < 0) break;
            shown[shown_count] = card;
        }
    }
    return shown_count ? SUCCESS : NO_DEVICE;
}

int cuDeviceGetCount(int *count) {
    if (shown_count < 0) return NOT_INITIALIZED;
    *count = shown_count;
    return SUCCESS;
}

int cuDeviceGet(int *device, int ordinal) {
    if (shown_count < 0) return NOT_INITIALIZED;
    if (ordinal < 0 || ordinal >= shown_count) return INVALID_DEVICE;
    *device = ordinal;
    return SUCCESS;
}

int cuDeviceGetUuid_v2(Uuid *uuid, int device) {
    if (shown_count < 0) return NOT_INITIALIZED;
    if (device < 0 || device >= shown_count) return INVALID_DEVICE;
    const char *digits = cards[shown[device]] + 4;
    for (int byte = 0; byte < 16; byte++, digits += 2) {
        if (*digits == '-') digits++;
        sscanf(digits, "%2hhx", &uuid->bytes[byte]);
    }
    return SUCCESS;
}
