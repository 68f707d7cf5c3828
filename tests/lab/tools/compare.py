#!/usr/bin/env python3
"""compare.py OURS [THEIRS] [--show] [--only TEXT]

Runs the same command lines with two sets of tools and compares what they print, their exit codes and the CIB they
leave behind. OURS is a program that answers to the tools' classic names (argv[0]); THEIRS is a directory, Debian's
/usr/sbin without it. Command lines are in commands.tsv (name, input, command), differences that have a reason in
explained.tsv (name, what, reason). Exit status 0 when every difference is explained and every explanation is needed.
"""
import argparse, csv, os, re, shutil, subprocess, sys, tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOOLS = ["cibadmin", "crm_diff", "crm_resource", "crm_rule", "crm_shadow", "crm_simulate", "crm_ticket", "crm_verify", "iso8601"]


def rows(name):
    with open(HERE / name, newline="") as f:
        lines = [l for l in f if l.strip() and not l.startswith("#")]
    return [r for r in csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)]


def canonical(text):
    """XML without regard to white space, the order of attributes, or the spelling of escapes."""
    try:
        return ET.canonicalize(text.strip(), strip_text=True)
    except ET.ParseError:
        return re.sub(r"[ \t]+$", "", text, flags=re.M).strip()


def run(path, source, command):
    with tempfile.TemporaryDirectory() as d:
        d = Path(d)
        for f in HERE.glob("*.xml"):
            shutil.copy(f, d / f.name)
        shutil.copy(HERE / source, d / "cib.xml")
        (d / "shadow").mkdir()
        env = {"PATH": f"{path}:/usr/bin:/bin", "CIB_file": str(d / "cib.xml"), "CIB_shadow_dir": str(d / "shadow"),
               "HOME": str(d), "TZ": "UTC", "EDITOR": "true"}
        p = subprocess.run(["bash", "-c", command], cwd=d, env=env, capture_output=True, text=True, timeout=60,
                           stdin=subprocess.DEVNULL)
        out = p.stdout.replace(str(d), "DIR")
        out = re.sub(r'<pacemaker-result [^>]*>', "<pacemaker-result>", out)
        left = (d / "cib.xml").read_text() if (d / "cib.xml").exists() else ""
        return {"rc": str(p.returncode), "stdout": canonical(out), "file": canonical(left), "stderr": p.stderr}


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("ours"); ap.add_argument("theirs", nargs="?", default="/usr/sbin")
    ap.add_argument("--show", action="store_true"); ap.add_argument("--only", default="")
    a = ap.parse_args()
    explained = {(r[0], r[1]): r[2] for r in rows("explained.tsv")}
    needed, bad, total, same = set(), [], 0, 0
    with tempfile.TemporaryDirectory() as names:
        for tool in TOOLS:
            os.symlink(os.path.abspath(a.ours), os.path.join(names, tool))
        for name, source, command in rows("commands.tsv"):
            if a.only not in name:
                continue
            total += 1
            ours, theirs = run(names, source, command), run(a.theirs, source, command)
            differ = [k for k in ("rc", "stdout", "file") if ours[k] != theirs[k]]
            same += not differ
            for what in differ:
                if (name, what) in explained:
                    needed.add((name, what))
                    continue
                bad.append(f"{name}: {what}")
                print(f"{name}: {what} differs: {command}")
                if a.show:
                    print(f"  ours:   {ours[what]}\n  theirs: {theirs[what]}\n  stderr: {ours['stderr']}")
    unneeded = [] if a.only else sorted(set(explained) - needed)
    for name, what in unneeded:
        print(f"{name}: {what} is explained, but does not differ")
    print(f"{total} command lines: {same} the same, {len(needed)} differences explained, {len(bad)} not explained")
    return 1 if bad or unneeded else 0


if __name__ == "__main__":
    sys.exit(main())
