/* A bad network for `bench detector`: one TUN device in each of some network namespaces, and this process
 * between them. Every IPv4 packet goes to the namespace that the last byte of its address names (1, 2 ...).
 *   wire LOSS_PPM JITTER_US NAMESPACE ...
 * It is a perfect network until SIGUSR1; from then on it loses LOSS_PPM of a million packets, and delays each
 * by 0 to JITTER_US microseconds, each by its own, so that they overtake each other. SIGUSR2 cuts the last
 * namespace off. Says "ready" when the devices are there, and at SIGTERM what it did. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define HOSTS_MAX 64
#define PACKET_MAX 2048
/* Packets under way; more are dropped, as a router would. */
#define UNDER_WAY_MAX 65536

struct packet {
    uint64_t due;
    uint64_t number;
    int to;
    int length;
    unsigned char bytes[PACKET_MAX];
};

static struct packet *heap[UNDER_WAY_MAX];
static int under_way;
static uint64_t numbers, passed, lost, overflowed;
static volatile sig_atomic_t bad, cut, over;

static void on_bad(int signal) { (void)signal; bad = 1; }
static void on_cut(int signal) { (void)signal; cut = 1; }
static void on_end(int signal) { (void)signal; over = 1; }

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static uint64_t random_below(uint64_t most)
{
    static uint64_t x = 0x9e3779b97f4a7c15;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return most ? x % most : 0;
}

static int before(const struct packet *a, const struct packet *b)
{
    return a->due != b->due ? a->due < b->due : a->number < b->number;
}

static void push(struct packet *p)
{
    int at = under_way++;
    while (at > 0 && before(p, heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = p;
}

static struct packet *pop(void)
{
    struct packet *first = heap[0], *last = heap[--under_way];
    int at = 0;
    for (;;) {
        int child = at * 2 + 1;
        if (child >= under_way)
            break;
        if (child + 1 < under_way && before(heap[child + 1], heap[child]))
            child++;
        if (!before(heap[child], last))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return first;
}

static void must(int ok, const char *what, const char *which)
{
    if (!ok) {
        fprintf(stderr, "wire: %s %s: %s\n", what, which, strerror(errno));
        exit(1);
    }
}

/* A device inside the namespace; it stays there when we leave. */
static int device(const char *name)
{
    char path[256];
    struct ifreq request;
    snprintf(path, sizeof path, "/var/run/netns/%s", name);
    int space = open(path, O_RDONLY | O_CLOEXEC);
    must(space >= 0, "open", path);
    must(setns(space, CLONE_NEWNET) == 0, "enter", path);
    close(space);
    int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    must(tun >= 0, "open", "/dev/net/tun");
    memset(&request, 0, sizeof request);
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    strcpy(request.ifr_name, "eth0");
    must(ioctl(tun, TUNSETIFF, &request) == 0, "make a device in", name);
    return tun;
}

static void take(int from, int tun, int hosts, uint64_t loss, uint64_t jitter)
{
    static struct packet *spare;
    for (int turn = 0; turn < 64; turn++) {
        if (!spare) {
            spare = malloc(sizeof *spare);
            must(spare != NULL, "memory", "");
        }
        ssize_t length = read(tun, spare->bytes, PACKET_MAX);
        if (length <= 0)
            return;
        if (length < 20 || spare->bytes[0] >> 4 != 4)
            continue;
        int to = spare->bytes[19] - 1;
        if (to < 0 || to >= hosts)
            continue;
        if (cut && (to == hosts - 1 || from == hosts - 1))
            continue;
        if (under_way == UNDER_WAY_MAX) {
            overflowed++;
            continue;
        }
        if (bad && random_below(1000000) < loss) {
            lost++;
            continue;
        }
        spare->due = now_us() + (bad ? random_below(jitter + 1) : 0);
        spare->number = numbers++;
        spare->to = to;
        spare->length = (int)length;
        push(spare);
        spare = NULL;
    }
}

int main(int argc, char **argv)
{
    int hosts = argc - 3;
    struct pollfd fds[HOSTS_MAX];
    if (hosts < 1 || hosts > HOSTS_MAX) {
        fprintf(stderr, "usage: wire LOSS_PPM JITTER_US NAMESPACE ...\n");
        return 1;
    }
    uint64_t loss = strtoull(argv[1], NULL, 10), jitter = strtoull(argv[2], NULL, 10);
    for (int i = 0; i < hosts; i++)
        fds[i] = (struct pollfd){.fd = device(argv[3 + i]), .events = POLLIN};
    signal(SIGUSR1, on_bad);
    signal(SIGUSR2, on_cut);
    signal(SIGTERM, on_end);
    printf("ready\n");
    fflush(stdout);
    while (!over) {
        struct timespec wait = {0, 200000000};
        if (under_way > 0) {
            uint64_t now = now_us(), due = heap[0]->due;
            wait.tv_nsec = due > now ? (long)(due - now) * 1000 : 0;
        }
        /* A device that is not up yet says so at once: not a reason to spin. */
        int count = ppoll(fds, hosts, &wait, NULL);
        for (int i = 0; count > 0 && i < hosts; i++) {
            if (fds[i].revents & POLLIN)
                take(i, fds[i].fd, hosts, loss, jitter);
            else if (fds[i].revents)
                usleep(1000);
        }
        while (under_way > 0 && heap[0]->due <= now_us()) {
            struct packet *p = pop();
            if (write(fds[p->to].fd, p->bytes, p->length) == p->length)
                passed++;
            else
                lost++;
            free(p);
        }
    }
    printf("passed %llu lost %llu overflowed %llu\n", (unsigned long long)passed, (unsigned long long)lost,
           (unsigned long long)overflowed);
    return 0;
}
