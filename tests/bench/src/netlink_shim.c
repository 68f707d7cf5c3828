/* Preloaded into Debian's booth 1.0: hands the end of a netlink dump over as a message of its
 * own, where a newer kernel appends it to the last datagram and booth would wait for ever. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>

static struct nlmsghdr end_of_dump;
static int end_is_due;

static int is_netlink(int fd)
{
    struct sockaddr_nl name;
    socklen_t length = sizeof name;
    return getsockname(fd, (struct sockaddr *)&name, &length) == 0 && name.nl_family == AF_NETLINK;
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    static ssize_t (*next)(int, struct msghdr *, int);
    if (next == NULL)
        next = (ssize_t (*)(int, struct msghdr *, int))dlsym(RTLD_NEXT, "recvmsg");
    int netlink = is_netlink(fd);
    if (netlink && end_is_due) {
        memcpy(message->msg_iov[0].iov_base, &end_of_dump, sizeof end_of_dump);
        end_is_due = 0;
        return sizeof end_of_dump;
    }
    ssize_t got = next(fd, message, flags);
    if (!netlink || got <= 0)
        return got;
    char *bytes = message->msg_iov[0].iov_base;
    for (ssize_t at = 0; at + (ssize_t)sizeof end_of_dump <= got;) {
        struct nlmsghdr *part = (struct nlmsghdr *)(bytes + at);
        if (part->nlmsg_len < sizeof *part)
            break;
        if (part->nlmsg_type == NLMSG_DONE && at > 0) {
            end_of_dump = *part;
            end_of_dump.nlmsg_len = sizeof end_of_dump;
            end_is_due = 1;
            return at;
        }
        at += NLMSG_ALIGN(part->nlmsg_len);
    }
    return got;
}
