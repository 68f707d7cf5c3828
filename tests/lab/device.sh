#!/usr/bin/env bash
# The arbitrator as quorum device of two nodes, each a namespace of its own: the nodes cut from each
# other, the device lost, device and node lost, the arbitrator restarted in mid-cut with its state and
# without. At no look may both halves be quorate while they are cut. Needs root.
#   tests/lab/device.sh
# INTERLOCK_BINS: folder of the programs (default: the release build)
set -euo pipefail
cd "$(dirname "$0")/../.."

bins=${INTERLOCK_BINS:-${CARGO_TARGET_DIR:-target}/release}
work=$(mktemp -d "${TMPDIR:-/tmp}/interlock-device.XXXXXX")
prefix=iq$$
declare -A pids=()

fail() {
    printf '** device: %s (logs: %s)\n' "$*" "$work" >&2
    trap - EXIT
    tidy
    exit 1
}
say() { printf '   device: %s\n' "$*"; }

tidy() {
    for pid in "${pids[@]}"; do kill -9 "$pid" && wait "$pid"; done 2>/dev/null || true
    for host in lan n1 n2 arb; do ip netns del "$prefix-$host" 2>/dev/null || true; done
}
trap 'tidy; rm -rf "$work"' EXIT

[ "$(id -u)" = 0 ] || fail "needs root"
for program in local-stack arbitrator ticket; do
    [ -x "$bins/$program" ] || fail "$bins has no $program"
done

# One network between the nodes, one to the arbitrator.
ip netns add "$prefix-lan"
for net in 1 2; do
    ip -n "$prefix-lan" link add "br$net" type bridge
    ip -n "$prefix-lan" link set "br$net" up
done
join() { # HOST NET ADDRESS
    ip -n "$prefix-lan" link add "$1-$2" type veth peer name "eth$2" netns "$prefix-$1"
    ip -n "$prefix-lan" link set "$1-$2" master "br$2" up
    ip -n "$prefix-$1" addr add "10.81.$2.$3/24" dev "eth$2"
    ip -n "$prefix-$1" link set "eth$2" up
}
for host in n1 n2 arb; do
    ip netns add "$prefix-$host"
    ip -n "$prefix-$host" link set lo up
done
for node in 1 2; do
    join "n$node" 1 "$node"
    join "n$node" 2 "$node"
done
join arb 2 3

geo=$work/geo
"$bins/ticket" init --cluster geo --local --site berlin=10.81.2.8 --site paris=10.81.2.9 \
    --arbitrator arb=10.81.2.3 --ticket db --dir "$geo" >/dev/null
table='
[device.berlin]
nodes = ["n1=1", "n2=2"]
lease = "1s"
'
for file in "$geo"/*.toml "$geo"/arb/*.toml; do
    if grep -q '^\[member.arb\]' "$file"; then printf '%s' "$table" >>"$file"; fi
done
site=$work/site
"$bins/local-stack" messaging init --cluster lab --dir "$site" \
    --node n1=10.81.1.1 --node n2=10.81.1.2 >/dev/null
for node in n1 n2; do
    "$bins/ticket" issue "$node" --dir "$geo" >/dev/null
    place=$site/$node
    sed -i "1i pki = \"$place/pki\"\nsocket = \"$place/socket\"\nstate = \"$place/state\"" "$place/messaging.toml"
    grep -q '^\[quorum\]' "$place/messaging.toml" || printf '[quorum]\n' >>"$place/messaging.toml"
    sed -i "/^\[quorum\]/a device = { cluster = \"geo\", arbitrator = \"arb\", address = \"10.81.2.3:9929\", pki = \"$geo/$node\" }" \
        "$place/messaging.toml"
done

start_arbitrator() {
    ip netns exec "$prefix-arb" "$bins/arbitrator" --config "$(ls "$geo"/arb/interlock.toml)" \
        2>>"$work/arb.log" &
    pids[arb]=$!
}
start_node() {
    ip netns exec "$prefix-$1" "$bins/local-stack" messaging daemon \
        --config "$site/$1/messaging.toml" 2>>"$work/$1.log" &
    pids[$1]=$!
}
end() { # power-off: killed, and gone
    kill -9 "${pids[$1]}"
    wait "${pids[$1]}" 2>/dev/null || true
    unset "pids[$1]"
}
cut_nodes() { ip -n "$prefix-lan" link set n2-1 "$1"; }
quorate() { "$bins/local-stack" messaging quorum --socket "$site/$1/socket" >/dev/null 2>&1; }

# Looks until the nodes are as said (1: quorate), at most so many seconds; never both in a cut.
state() { printf '%s%s' "$(quorate n1 && echo 1 || echo 0)" "$(quorate n2 && echo 1 || echo 0)"; }
cut=0
look() {
    seen=$(state)
    if [ "$cut" = 1 ] && [ "$seen" = 11 ]; then
        # Two looks are not one instant: a node may have passed it on in between.
        sleep 0.2
        [ "$(state)" != 11 ] || fail "both halves are quorate"
    fi
}
until_state() { # STATE SECONDS WHAT
    local end=$((SECONDS + $2))
    while look; [ "$seen" != "$1" ]; do
        [ "$SECONDS" -lt "$end" ] || fail "$3: n1 and n2 are $seen, not $1, after $2 s"
        sleep 0.1
    done
    say "$3: $1"
}
stays() { # STATE SECONDS WHAT
    local end=$((SECONDS + $2))
    while [ "$SECONDS" -lt "$end" ]; do
        look
        [ "$seen" = "$1" ] || fail "$3: n1 and n2 became $seen"
        sleep 0.2
    done
    say "$3: stays $1 for $2 s"
}

start_arbitrator
start_node n1
start_node n2
until_state 11 60 "together, with the device"

cut_nodes down
sleep 3
cut=1
until_state 10 30 "the nodes are cut from each other"
stays 10 5 "the nodes are cut from each other"

end arb
start_arbitrator
stays 10 1 "the arbitrator restarts with its state"
until_state 10 30 "the arbitrator restarts with its state"
stays 10 5 "the arbitrator restarts with its state"

end arb
rm -rf "$geo"/arb/state/device "$geo"/arb/*/arb.device
start_arbitrator
sleep 4
until_state 10 30 "the arbitrator restarts without its state"
stays 10 5 "the arbitrator restarts without its state"

cut=0
cut_nodes up
until_state 11 60 "healed"

end arb
stays 11 5 "the device is lost"

end n2
until_state 00 30 "device and node are lost"
start_arbitrator
until_state 10 60 "the device is back"

end n1
start_node n2
until_state 01 60 "the other node alone"
say "done"
