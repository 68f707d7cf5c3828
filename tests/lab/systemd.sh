#!/usr/bin/env bash
# The units of deploy/ under a real systemd: a container of Debian 12 boots, and each unit starts,
# reports ready, is watched (a paused daemon is replaced), and stops. Needs root, and a Debian mirror
# for the first run; the container's file system is kept for the next.
#   tests/lab/systemd.sh
# INTERLOCK_LAB: where to keep the file system (default: /var/tmp/interlock-lab)
# INTERLOCK_BINS: folder of the programs (default: the release build)
set -euo pipefail
cd "$(dirname "$0")/../.."

target=${INTERLOCK_BINS:-${CARGO_TARGET_DIR:-target}/release}
cache=${INTERLOCK_LAB:-/var/tmp/interlock-lab}
mirror=${INTERLOCK_MIRROR:-}
base=$cache/bookworm
programs="site-agent arbitrator local-stack guard"
boots=0
nspawn=
leader=

fail() {
    printf '** systemd: %s\n' "$*" >&2
    exit 1
}

say() { printf '   systemd: %s\n' "$*"; }

[ "$(id -u)" = 0 ] || fail "needs root"
for program in $programs ticket demo; do
    [ -x "$target/$program" ] || fail "$target/$program is missing: cargo build --release"
done

if ! command -v debootstrap >/dev/null || ! command -v systemd-nspawn >/dev/null; then
    apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        debootstrap systemd-container procps >/dev/null
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/interlock-systemd.XXXXXX")
root=$work/root

power_off() {
    [ -n "$nspawn" ] || return 0
    inside systemctl poweroff >/dev/null 2>&1 || true
    for _ in $(seq 100); do
        kill -0 "$nspawn" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$nspawn" 2>/dev/null || true
    wait "$nspawn" 2>/dev/null || true
    nspawn=
}

clean() {
    power_off
    rm -rf --one-file-system "$work"
}
trap clean EXIT

inside() { nsenter -t "$leader" -m -u -i -n -p -- "$@"; }

boot() {
    boots=$((boots + 1))
    SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=0 systemd-nspawn -q -D "$root" --boot --register=no \
        --keep-unit --private-network --machine="interlock-lab-$$" \
        </dev/null >"$work/console.$boots" 2>&1 &
    nspawn=$!
    for _ in $(seq 300); do
        leader=$(pgrep -P "$nspawn" | head -n 1 || true)
        if [ -n "$leader" ] && inside systemctl is-system-running 2>/dev/null |
            grep -qE 'running|degraded'; then
            return
        fi
        kill -0 "$nspawn" 2>/dev/null || fail "the container ended: $(tail -n 5 "$work/console.$boots")"
        sleep 0.1
    done
    fail "the container did not boot in 30 s: $(tail -n 5 "$work/console.$boots")"
}

install_tree() {
    if [ ! -e "$base/.complete" ]; then
        say "making a Debian 12 file system in $base (once)"
        mkdir -p "$cache"
        rm -rf --one-file-system "$base"
        debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,procps bookworm \
            "$base" ${mirror:+"$mirror"} >"$work/debootstrap.log" 2>&1 ||
            fail "debootstrap: $(tail -n 5 "$work/debootstrap.log")"
        touch "$base/.complete"
    fi
    cp -a --reflink=auto "$base" "$root"
    for program in $programs; do
        install -D -m 755 "$target/$program" "$root/usr/libexec/interlock/$program"
    done
    install -D -m 755 "$target/ticket" "$root/usr/bin/ticket"
    install -D -m 755 "$target/demo" "$root/usr/libexec/interlock/demo"
    install -D -m 755 deploy/ocf/interlock/web "$root/usr/lib/ocf/resource.d/interlock/web"
    install -D -m 644 -t "$root/etc/systemd/system" deploy/systemd/*.service
    install -D -m 644 -t "$root/usr/lib/sysusers.d" deploy/sysusers.d/interlock.conf
    install -D -m 644 -t "$root/usr/lib/tmpfiles.d" deploy/tmpfiles.d/interlock.conf
    # As shipped, but for a watchdog that a test can wait for.
    for program in $programs; do
        install -d "$root/etc/systemd/system/interlock-$program.service.d"
        printf '[Service]\nWatchdogSec=2s\n' \
            >"$root/etc/systemd/system/interlock-$program.service.d/lab.conf"
    done
}

# Keys and configuration of one member, from the shipped example.
configure() {
    local example=$1 member=$2
    rm -rf "$root/etc/interlock" "$root/var/lib/interlock"
    install -d "$root/etc/interlock"
    cp -r "deploy/examples/$example/." "$root/etc/interlock/"
    # A CIB that runs without more packages: what it gates is tested by the demo.
    cat >"$root/etc/interlock/cib.xml" <<'XML'
<cib crm_feature_set="3.20.5" validate-with="pacemaker-4.0" admin_epoch="0" epoch="1" num_updates="0">
  <configuration><crm_config/><nodes/><resources/><constraints/></configuration><status/>
</cib>
XML
    [ -d "$work/keys" ] || "$target/ticket" init --cluster shop --local --dir "$work/keys" \
        --site berlin=berlin-1.example.org:9929 --site paris=paris.example.org:9929 \
        --arbitrator arb=203.0.113.7:9929 --ticket db --lease 30s --acquire-after 25s \
        --stop-budget 20s --cluster-manager local-stack >/dev/null
    cp -r "$work/keys/$member/pki" "$root/etc/interlock/pki"
    install -d "$root/var/lib/interlock/state"
    touch "$root/var/lib/interlock/state/first-start"
}

property() { inside systemctl show -P "$2" "interlock-$1.service"; }

explain() {
    inside systemctl status --no-pager -n 30 "interlock-$1.service" >&2 || true
    fail "$1: $2"
}

# Starts a unit, which returns only after the daemon reported ready.
starts() {
    inside timeout 30 systemctl start "interlock-$1.service" || explain "$1" "did not report ready"
    [ "$(property "$1" ActiveState)" = active ] || explain "$1" "is not active"
    [ "$(property "$1" Type)" = notify ] || explain "$1" "does not report"
    say "$1 is ready: $(property "$1" StatusText)"
}

# A paused daemon misses its watchdog and is replaced.
is_watched() {
    local before after
    before=$(property "$1" MainPID)
    inside kill -STOP "$before"
    for _ in $(seq 100); do
        after=$(property "$1" MainPID)
        if [ "$after" != 0 ] && [ "$after" != "$before" ] &&
            [ "$(property "$1" ActiveState)" = active ]; then
            inside journalctl -q -u "interlock-$1.service" | grep -qi watchdog ||
                explain "$1" "was replaced, but not by the watchdog"
            say "$1 is watched: a paused one was replaced"
            return
        fi
        sleep 0.1
    done
    explain "$1" "was paused and not replaced in 10 s"
}

# Stays up for longer than its watchdog, so the watchdog is fed.
stays() {
    local before
    before=$(property "$1" MainPID)
    sleep 3
    [ "$(property "$1" MainPID)" = "$before" ] || explain "$1" "does not feed its watchdog"
}

stops() {
    local code
    inside timeout 30 systemctl stop "interlock-$1.service" || explain "$1" "did not stop"
    code=$(property "$1" ExecMainStatus)
    [ "$(property "$1" ActiveState)" = inactive ] && [ "$code" = 0 ] ||
        explain "$1" "stopped with code $code, state $(property "$1" ActiveState)"
    say "$1 stops"
}

verify() {
    for program in $programs; do
        inside systemd-analyze verify "interlock-$program.service" 2>"$work/verify" ||
            fail "interlock-$program.service: $(cat "$work/verify")"
        # Findings about other units of the container are not ours.
        if grep "interlock-" "$work/verify"; then
            fail "interlock-$program.service: see above"
        fi
        say "$(inside systemd-analyze security --no-pager "interlock-$program.service" |
            tail -n 1 | sed 's/^[^A-Za-z]*//; s/[^A-Za-z0-9]*$//')"
    done
}

say "a site"
install_tree
configure two-sites berlin
"$target/ticket" --config "$root/etc/interlock/interlock.toml" check >/dev/null ||
    fail "the example configuration does not pass check"
boot
verify
for program in guard local-stack site-agent; do starts $program; done
for program in guard local-stack site-agent; do stays $program; done
inside ticket status >"$work/status" || true
grep -q '◐ process' "$work/status" || {
    cat "$work/status" >&2
    fail "the site agent does not see its guard: status shows no protection"
}
for program in guard local-stack site-agent; do is_watched $program; done
for program in site-agent local-stack guard; do stops $program; done
power_off

say "an arbitrator"
configure arbitrator arb
boot
starts arbitrator
stays arbitrator
inside systemctl reload interlock-arbitrator.service || explain arbitrator "does not reload"
is_watched arbitrator
stops arbitrator
power_off
say "units start, report ready, are watched and stop"
