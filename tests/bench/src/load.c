/* The load of `bench messaging` on corosync's closed process groups: the same roles, the same content
 * checks and the same lines of output as `drive.rs` has for ours.
 *   load receive GROUP SIZE            counts and checks until the last message
 *   load send GROUP SIZE SECONDS RATE  RATE 0: as fast as it goes; prints round trips otherwise
 *   load echo GROUP SIZE COUNT         one message at a time: median and 99th percentile round trip
 *   load watch GROUP MEMBERS           waits for so many members, says "ready", then the time of each change
 */
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <time.h>
#include <corosync/cpg.h>

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* A message: its number (all ones: the last), the sender's clock, then a pattern made of both. */
static uint64_t expected, received, wrong, first_ns, last_ns, own_back;
static uint64_t *trips;
static size_t trip_count, trip_room;
static int done, am_sender, watching;
static size_t member_count;

static void deliver(cpg_handle_t h, const struct cpg_name *g, uint32_t node, uint32_t pid, void *msg, size_t len)
{
    uint64_t number, sent;
    (void)h; (void)g; (void)node; (void)pid;
    if (len < 16) { wrong++; return; }
    memcpy(&number, msg, 8);
    memcpy(&sent, (char *)msg + 8, 8);
    last_ns = now_ns();
    if (!first_ns) first_ns = last_ns;
    if (number == UINT64_MAX) { done = 1; return; }
    if (number != expected) wrong++;
    expected = number + 1;
    /* All bytes are the first one, and that one is right. */
    unsigned char *body = (unsigned char *)msg + 16;
    if (len > 16 && (body[0] != (unsigned char)number || memcmp(body, body + 1, len - 17))) wrong++;
    received++;
    if (am_sender) {
        own_back++;
        if (trip_count < trip_room) trips[trip_count++] = last_ns - sent;
    }
}

static void change(cpg_handle_t h, const struct cpg_name *g, const struct cpg_address *m, size_t mn,
                   const struct cpg_address *l, size_t ln, const struct cpg_address *j, size_t jn)
{
    (void)h; (void)g; (void)m; (void)l; (void)ln; (void)j; (void)jn;
    member_count = mn;
    if (watching) { printf("members %zu at %llu\n", mn, (unsigned long long)now_ns()); fflush(stdout); }
}

static int smaller(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void report(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    double cpu = u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
    uint64_t median = 0, late = 0;
    if (trip_count) {
        qsort(trips, trip_count, 8, smaller);
        median = trips[trip_count / 2];
        late = trips[trip_count * 99 / 100];
    }
    printf("received %llu wrong %llu seconds %.6f cpu %.6f median_us %.1f p99_us %.1f\n", (unsigned long long)received,
           (unsigned long long)wrong, (last_ns - first_ns) / 1e9, cpu, median / 1e3, late / 1e3);
}

static void fail(const char *what, int error)
{
    fprintf(stderr, "load: %s: error %d\n", what, error);
    exit(1);
}

static void send_one(cpg_handle_t handle, char *buffer, size_t size, uint64_t number)
{
    uint64_t at = now_ns();
    memset(buffer, (unsigned char)number, size);
    memcpy(buffer, &number, 8);
    memcpy(buffer + 8, &at, 8);
    struct iovec part = { buffer, size };
    for (;;) {
        int error = cpg_mcast_joined(handle, CPG_TYPE_AGREED, &part, 1);
        if (error == CS_OK) return;
        if (error != CS_ERR_TRY_AGAIN) fail("cpg_mcast_joined", error);
        cpg_dispatch(handle, CS_DISPATCH_ALL);
        int fd;
        cpg_fd_get(handle, &fd);
        struct pollfd p = { fd, POLLIN, 0 };
        poll(&p, 1, 1);
    }
}

static void wait_for(cpg_handle_t handle, int milliseconds)
{
    int fd;
    cpg_fd_get(handle, &fd);
    struct pollfd p = { fd, POLLIN, 0 };
    poll(&p, 1, milliseconds);
    cpg_dispatch(handle, CS_DISPATCH_ALL);
}

int main(int argc, char **argv)
{
    if (argc < 4) return 2;
    static cpg_callbacks_t callbacks = { deliver, change };
    cpg_handle_t handle;
    int error = cpg_initialize(&handle, &callbacks);
    if (error != CS_OK) fail("cpg_initialize", error);
    struct cpg_name group;
    group.length = strlen(argv[2]);
    memcpy(group.value, argv[2], group.length);
    while ((error = cpg_join(handle, &group)) == CS_ERR_TRY_AGAIN) poll(NULL, 0, 10);
    if (error != CS_OK) fail("cpg_join", error);
    size_t size = strtoul(argv[3], NULL, 10);
    char *buffer = malloc(size < 16 ? 16 : size);
    if (!strcmp(argv[1], "watch")) {
        while (member_count < size) wait_for(handle, 100);
        puts("ready");
        fflush(stdout);
        watching = 1;
        for (;;) wait_for(handle, 1000);
    } else if (!strcmp(argv[1], "receive")) {
        puts("ready");
        fflush(stdout);
        while (!done) wait_for(handle, 1000);
        report();
    } else if (!strcmp(argv[1], "echo")) {
        size_t count = strtoul(argv[4], NULL, 10);
        am_sender = 1;
        trips = malloc((trip_room = count) * 8);
        while (!member_count) wait_for(handle, 100);
        for (uint64_t n = 0; n < count; n++) {
            send_one(handle, buffer, size, n);
            while (own_back <= n) wait_for(handle, 1000);
            struct timespec pause = { 0, 1000000 };
            nanosleep(&pause, NULL);
        }
        send_one(handle, buffer, size, UINT64_MAX);
        while (!done) wait_for(handle, 1000);
        report();
    } else {
        double seconds = atof(argv[4]), rate = atof(argv[5]);
        uint64_t sent = 0, start = now_ns(), end = start + (uint64_t)(seconds * 1e9);
        am_sender = 1;
        if (rate > 0) trips = malloc((trip_room = (size_t)(rate * seconds * 2)) * 8);
        while (!member_count) wait_for(handle, 100);
        while (now_ns() < end) {
            uint64_t due = rate > 0 ? (uint64_t)((now_ns() - start) / 1e9 * rate) : sent + 64;
            while (sent < due) send_one(handle, buffer, size, sent++);
            wait_for(handle, rate > 0 ? 1 : 0);
        }
        send_one(handle, buffer, size, UINT64_MAX);
        while (!done) wait_for(handle, 1000);
        report();
    }
    cpg_finalize(handle);
    return 0;
}
