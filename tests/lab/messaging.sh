#!/usr/bin/env bash
# Messaging on two networks, three nodes in network namespaces: one network is cut, then carries only
# small packets, then strangers knock. No view may change and no message may be lost; both networks
# are shown in the status. Needs root.
#   tests/lab/messaging.sh
# INTERLOCK_BINS: folder of the programs (default: the release build)
set -euo pipefail
cd "$(dirname "$0")/../.."

bins=${INTERLOCK_BINS:-${CARGO_TARGET_DIR:-target}/release}
work=$(mktemp -d "${TMPDIR:-/tmp}/interlock-messaging.XXXXXX")
prefix=im$$
pids=()

fail() {
    printf '** messaging: %s (logs: %s)\n' "$*" "$work" >&2
    trap - EXIT
    tidy
    exit 1
}
say() { printf '   messaging: %s\n' "$*"; }

tidy() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for host in lan n1 n2 n3; do ip netns del "$prefix-$host" 2>/dev/null || true; done
}
trap 'tidy; rm -rf "$work"' EXIT

[ "$(id -u)" = 0 ] || fail "needs root"
[ -x "$bins/local-stack" ] && [ -x "$bins/bench" ] || fail "$bins has no local-stack or bench"

# Two bridges, one for each network.
ip netns add "$prefix-lan"
for net in 1 2; do
    ip -n "$prefix-lan" link add "br$net" type bridge
    ip -n "$prefix-lan" link set "br$net" up
done
for node in 1 2 3; do
    ip netns add "$prefix-n$node"
    ip -n "$prefix-n$node" link set lo up
    for net in 1 2; do
        ip -n "$prefix-lan" link add "p$node$net" type veth peer name "eth$net" netns "$prefix-n$node"
        ip -n "$prefix-lan" link set "p$node$net" master "br$net" up
        ip -n "$prefix-n$node" addr add "10.79.$net.$node/24" dev "eth$net"
        ip -n "$prefix-n$node" link set "eth$net" up
    done
done

site=$work/site
"$bins/local-stack" messaging init --cluster lab --dir "$site" \
    --node n1=10.79.1.1,10.79.2.1 --node n2=10.79.1.2,10.79.2.2 --node n3=10.79.1.3,10.79.2.3 >/dev/null
for node in 1 2 3; do
    place=$site/n$node
    sed -i "1i pki = \"$place/pki\"\nsocket = \"$place/socket\"\nstate = \"$place/state\"" "$place/messaging.toml"
    ip netns exec "$prefix-n$node" "$bins/local-stack" messaging daemon \
        --config "$place/messaging.toml" 2>"$work/n$node.log" &
    pids+=($!)
done

ask() { "$bins/local-stack" messaging "$2" --socket "$site/n$1/socket"; }
until_true() {
    local what=$1 tries=0
    shift
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || fail "never: $what"
        sleep 0.1
    done
}
formed() { [ "$({ ask 1 members 2>/dev/null || true; } | grep -c ' member ')" = 3 ]; }
views() { ask "$1" stats | sed -n 's/^runtime.views = //p'; }
all_views() { echo "$(views 1) $(views 2) $(views 3)"; }
# `links` ends with 1 while a path is silent.
shown() { { ask 1 links || true; } | grep "$1" >/dev/null; }
until_true "three nodes form a view" formed
until_true "both networks are known" shown standby
sleep 2

# A load that goes on while the network in use is cut.
load() {
    for node in 1 3; do
        "$bins/bench" drive receive --socket "$site/n$node/socket" 5000 >"$work/r$node" &
        pids+=($!)
    done
    sleep 0.5
    "$bins/bench" drive send --socket "$site/n2/socket" 5000 "$1" 500 >"$work/s2" &
    pids+=($!)
}
checked() {
    until_true "the load ends" grep -q received "$work/s2"
    until_true "a receiver ends" grep -q received "$work/r1"
    until_true "a receiver ends" grep -q received "$work/r3"
    local sent
    sent=$(sed -n 's/^received \([0-9]*\) wrong 0 .*/\1/p' "$work/s2")
    for node in 1 3; do
        grep -q "^received $sent wrong 0 " "$work/r$node" || fail "node $node lost messages: $(cat "$work/r$node")"
    done
    say "$1: $sent messages, all there, in order, no view change"
}

before=$(all_views)
load 4
sleep 1.5
ip -n "$prefix-lan" link set br1 down
until_true "the cut network is shown" shown SILENT
until_true "the other one is in use" shown "in use"
checked "one of two networks cut"
[ "$(all_views)" = "$before" ] || fail "the view changed: $before, now $(all_views)"
ip -n "$prefix-lan" link set br1 up
until_true "the network is back" shown standby

load 8
sleep 1
for node in 1 2 3; do
    for net in 1 2; do ip -n "$prefix-lan" link set "p$node$net" mtu 1300; done
done
until_true "the narrow path is noticed" shown "1200 B/datagram"
checked "paths became narrower"
[ "$(all_views)" = "$before" ] || fail "the view changed: $before, now $(all_views)"

# Strangers: garbage on both ports, and a node of another authority.
ip netns exec "$prefix-n3" bash -c \
    'for i in 1 2 3 4 5; do head -c $((i * 200)) /dev/urandom >/dev/udp/10.79.1.1/9931; head -c 900 /dev/urandom >/dev/udp/10.79.1.1/9930; done'
refused() { { ask 1 status || true; } | grep 'refused: .*10\.79\.1\.3' >/dev/null; }
until_true "garbage is counted and named" refused
"$bins/local-stack" messaging init --cluster other --dir "$work/other" --node n3=10.79.1.3 --node n1=10.79.1.1 >/dev/null
kill "${pids[2]}"
wait "${pids[2]}" 2>/dev/null || true
place=$work/other/n3
sed -i "1i pki = \"$place/pki\"\nsocket = \"$place/socket\"\nstate = \"$place/state\"" "$place/messaging.toml"
ip netns exec "$prefix-n3" "$bins/local-stack" messaging daemon --config "$place/messaging.toml" 2>"$work/other.log" &
pids+=($!)
named() { grep -q 'refused: .*another cluster' "$work/n1.log"; }
until_true "another cluster's node is refused by name" named
say "garbage and another cluster's node: refused, counted, named"
