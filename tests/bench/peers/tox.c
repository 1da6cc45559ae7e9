/* Two people on c-toxcore in one process, each on a thread that does nothing else: how many messages a second pass
 * from one to the other. Reads lines of "BYTES COUNT" and answers each with messages a second. */

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <tox/tox.h>
#include <unistd.h>

static atomic_long received;
static atomic_bool flowing, over;

static void rest(void) {
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

static void on_message(Tox *tox, uint32_t friend, TOX_MESSAGE_TYPE type, const uint8_t *text,
                       size_t length, void *data) {
    (void)tox, (void)friend, (void)type, (void)text, (void)length, (void)data;
    atomic_fetch_add(&received, 1);
}

static void *reads(void *tox) {
    while (!atomic_load(&over)) {
        tox_iterate(tox, NULL);
        if (!atomic_load(&flowing)) rest();
    }
    return NULL;
}

static Tox *person(uint16_t port) {
    struct Tox_Options *options = tox_options_new(NULL);
    tox_options_set_ipv6_enabled(options, false);
    tox_options_set_local_discovery_enabled(options, false);
    tox_options_set_start_port(options, port);
    tox_options_set_end_port(options, port + 99);
    Tox *tox = tox_new(options, NULL);
    tox_options_free(options);
    if (tox == NULL) exit(1);
    return tox;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static bool sees(Tox *tox) {
    return tox_friend_get_connection_status(tox, 0, NULL) == TOX_CONNECTION_UDP;
}

int main(void) {
    Tox *alice = person(34500), *bob = person(34700);
    uint8_t key[TOX_PUBLIC_KEY_SIZE], dht[TOX_PUBLIC_KEY_SIZE];
    tox_self_get_public_key(alice, key);
    tox_friend_add_norequest(bob, key, NULL);
    tox_self_get_public_key(bob, key);
    tox_friend_add_norequest(alice, key, NULL);
    tox_self_get_dht_id(alice, dht);
    tox_bootstrap(bob, "127.0.0.1", tox_self_get_udp_port(alice, NULL), dht, NULL);
    tox_callback_friend_message(bob, on_message);
    while (!sees(alice) || !sees(bob)) {
        tox_iterate(alice, NULL);
        tox_iterate(bob, NULL);
        rest();
    }
    pthread_t reader;
    if (pthread_create(&reader, NULL, reads, bob) != 0) return 1;
    printf("ready\n");
    fflush(stdout);
    size_t bytes;
    long count;
    uint8_t text[TOX_MAX_MESSAGE_LENGTH];
    memset(text, 'x', sizeof text);
    for (;;) {
        /* Friends of whom nothing is heard are taken to be gone. */
        struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
        while (poll(&input, 1, 20) == 0) tox_iterate(alice, NULL);
        if (scanf("%zu %ld", &bytes, &count) != 2 || bytes > sizeof text) break;
        atomic_store(&received, 0);
        atomic_store(&flowing, true);
        double began = now();
        long sent = 0;
        while (atomic_load(&received) < count) {
            TOX_ERR_FRIEND_SEND_MESSAGE error = TOX_ERR_FRIEND_SEND_MESSAGE_OK;
            while (sent < count && error == TOX_ERR_FRIEND_SEND_MESSAGE_OK) {
                tox_friend_send_message(alice, 0, TOX_MESSAGE_TYPE_NORMAL, text, bytes, &error);
                if (error == TOX_ERR_FRIEND_SEND_MESSAGE_OK) sent++;
            }
            tox_iterate(alice, NULL);
        }
        atomic_store(&flowing, false);
        printf("%f\n", (double)count / (now() - began));
        fflush(stdout);
    }
    atomic_store(&over, true);
    pthread_join(reader, NULL);
    tox_kill(alice);
    tox_kill(bob);
    return 0;
}
