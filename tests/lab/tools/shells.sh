#!/usr/bin/env bash
# crmsh and pcs over a file, with our tools in the places of Debian's: each command must succeed.
#   tests/lab/tools/shells.sh PROGRAM     a program that answers to the tools' classic names
set -uo pipefail
program=$(readlink -f "$1")
here=$(cd "$(dirname "$0")" && pwd)

# A mount namespace of our own: nothing outside sees the tools exchanged.
if [ "${2:-}" != inside ]; then
    exec unshare -m "$here/$(basename "$0")" "$program" inside
fi
for tool in cibadmin crm_diff crm_resource crm_rule crm_shadow crm_simulate crm_ticket crm_verify iso8601; do
    mount --bind "$program" "/usr/sbin/$tool" || exit 1
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here/running.xml" "$work/crm.xml"
cp "$here/running.xml" "$work/pcs.xml"
failed=0

must() {
    if ! output=$(timeout 120 "$@" </dev/null 2>&1); then
        printf '** failed: %s\n%s\n' "$*" "$output" >&2
        failed=1
    fi
}

crm() { CIB_file="$work/crm.xml" CIB_shadow_dir="$work" command crm "$@"; }
export -f crm
export work
with_crm() { must bash -c 'crm "$@"' crm "$@"; }

with_crm configure primitive X ocf:pacemaker:Dummy params fake=1 op monitor interval=10s
with_crm configure colocation cx inf: X A
with_crm configure order ox Mandatory: A X
with_crm configure location lx X 100: n1
with_crm configure rsc_ticket tx T2: X loss-policy=stop
with_crm configure property no-quorum-policy=freeze
with_crm configure rsc_defaults resource-stickiness=100
with_crm configure clone CX X
with_crm configure verify
with_crm configure show
with_crm configure simulate
with_crm resource stop A
with_crm resource meta A set migration-threshold 3
with_crm resource move A n2
with_crm resource clear A
with_crm ra info ocf:pacemaker:Dummy
with_crm configure delete CX tx cx ox lx

with_pcs() { must pcs -f "$work/pcs.xml" "$@"; }
with_pcs resource create V ocf:pacemaker:Dummy fake=1 op monitor interval=30s
with_pcs resource create S ocf:pacemaker:Stateful promotable
with_pcs constraint location V prefers n1=50
with_pcs constraint order A then V
with_pcs constraint ticket add T9 V loss-policy=stop
with_pcs property set no-quorum-policy=freeze
with_pcs resource disable V
with_pcs resource update A fake=2
with_pcs resource ban A n1
with_pcs resource clear A
with_pcs resource config
with_pcs cluster cib-upgrade
with_pcs resource delete V
must pcs cluster verify -f "$work/pcs.xml"
exit $failed
