#!/usr/bin/env bash
# Nodes come and go on a running site, by the commands that an operator has: a fourth node is added and
# started, certificates are issued anew and read at SIGHUP, the fourth node moves to another address, and
# is removed. A load runs all the time; the first three daemons keep their processes, and their view but
# for the fourth. Needs root.
#   tests/lab/messaging-nodes.sh
# INTERLOCK_BINS: folder of the programs (default: the release build)
set -euo pipefail
cd "$(dirname "$0")/../.."

bins=${INTERLOCK_BINS:-${CARGO_TARGET_DIR:-target}/release}
work=$(mktemp -d "${TMPDIR:-/tmp}/interlock-nodes.XXXXXX")
prefix=in$$
pids=()

fail() {
    printf '** messaging-nodes: %s (logs: %s)\n' "$*" "$work" >&2
    trap - EXIT
    tidy
    exit 1
}
say() { printf '   messaging-nodes: %s\n' "$*"; }

tidy() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for host in lan n1 n2 n3 n4; do ip netns del "$prefix-$host" 2>/dev/null || true; done
}
trap 'tidy; rm -rf "$work"' EXIT

[ "$(id -u)" = 0 ] || fail "needs root"
[ -x "$bins/local-stack" ] && [ -x "$bins/bench" ] || fail "$bins has no local-stack or bench"

ip netns add "$prefix-lan"
ip -n "$prefix-lan" link add br0 type bridge
ip -n "$prefix-lan" link set br0 up
for node in 1 2 3 4; do
    ip netns add "$prefix-n$node"
    ip -n "$prefix-n$node" link set lo up
    ip -n "$prefix-lan" link add "p$node" type veth peer name eth0 netns "$prefix-n$node"
    ip -n "$prefix-lan" link set "p$node" master br0 up
    ip -n "$prefix-n$node" addr add "10.77.0.$node/24" dev eth0
    ip -n "$prefix-n$node" link set eth0 up
done
ip -n "$prefix-n4" addr add 10.77.0.44/24 dev eth0

site=$work/site
"$bins/local-stack" messaging init --cluster lab --dir "$site" \
    --node n1=10.77.0.1 --node n2=10.77.0.2 --node n3=10.77.0.3 >/dev/null

# Starts the daemon of a node on the files in its directory.
start() {
    local place=$site/n$1
    grep -q ^pki "$place/messaging.toml" || sed -i \
        "1i pki = \"$place/pki\"\nsocket = \"$place/socket\"\nstate = \"$place/state\"" "$place/messaging.toml"
    ip netns exec "$prefix-n$1" "$bins/local-stack" messaging daemon \
        --config "$place/messaging.toml" 2>>"$work/n$1.log" &
    pids+=($!)
}
ask() { "$bins/local-stack" messaging "$2" --socket "$site/n$1/socket" "${@:3}"; }
change() { "$bins/local-stack" messaging node "$1" --socket "$site/n1/socket" "${@:2}" >>"$work/changes.log"; }
files=(--dir "$site" --config "$site/n1/messaging.toml")
until_true() {
    local what=$1 tries=0
    shift
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || fail "never: $what"
        sleep 0.1
    done
}
together() { [ "$({ ask "$1" members 2>/dev/null || true; } | grep -c ' member ')" = "$2" ]; }
three_alive() { for at in 0 1 2; do kill -0 "${pids[$at]}" || fail "a daemon that was not touched has ended"; done; }

for node in 1 2 3; do start $node; done
until_true "three nodes form a view" together 1 3

"$bins/bench" drive receive --socket "$site/n1/socket" 3000 >"$work/r1" &
pids+=($!)
sleep 0.5
"$bins/bench" drive send --socket "$site/n2/socket" 3000 14 300 >"$work/s2" &
pids+=($!)

change add "${files[@]}" n4=10.77.0.4
start 4
until_true "the fourth joins" together 1 4
ask 3 quorum | grep -q ' of 4 votes, 3 needed' || fail "four votes are not expected: $(ask 3 quorum)"
say "a node was added and joined"

views() { ask 1 stats | sed -n 's/^runtime.views = //p'; }
before=$(views)
for node in 1 2 3 4; do change certificate "${files[@]}" n$node; done
good() { for node in 1 2 3 4; do grep -c 'our certificate is good for' "$work/n$node.log" || true; done; }
had=$(good)
for at in 0 1 2 5; do kill -HUP "${pids[$at]}"; done
rotated() { [ "$(paste <(echo "$had") <(good) | awk '$2 > $1' | wc -l)" = 4 ]; }
until_true "the certificates were read again" rotated
[ "$(views)" = "$before" ] || fail "a view changed with the certificates"
say "certificates were issued anew and read, no view changed"

change address n4=10.77.0.44
found() { { ask 1 links || true; } | grep '10\.77\.0\.44:9931 *in use' >/dev/null; }
until_true "the fourth is found at its new address" found
until_true "the fourth is in the view" together 1 4
say "a node moved to another address by itself"

change remove n4
until_true "three are left" together 1 3
ended() { ! kill -0 "$1" 2>/dev/null; }
until_true "the removed daemon ends" ended "${pids[5]}"
rm -r "$site/n4/state"
start 4
refused() { { ask 1 status || true; } | grep 'refused: .*knows no member n4' >/dev/null; }
until_true "its certificate is refused by name" refused
together 1 3 || fail "the removed node is back"
say "a node was removed, and is refused"

until_true "the load ends" grep -q received "$work/s2"
until_true "the receiver ends" grep -q received "$work/r1"
three_alive
sent=$(sed -n 's/^received \([0-9]*\) wrong 0 .*/\1/p' "$work/s2")
grep -q "^received $sent wrong 0 " "$work/r1" || fail "messages were lost: $(cat "$work/r1")"
say "$sent messages meanwhile, all there, in order; three daemons were never restarted"
