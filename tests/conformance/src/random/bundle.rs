//! Random bundles.

use cib::ElementId;

use super::sketch::{Kind, Resource, Sketch};

/// A bundle of one to three replicas, mostly with a resource in them.
pub(super) fn bundle(s: &mut Sketch, section: ElementId) {
    let id = s.id("bnd");
    let element = s.add(section, "bundle", &[("id", &id)]);
    if s.dice.chance(30) {
        super::resources::meta(s, element, true);
    }
    let engine = s.dice.word(&["podman", "docker"]);
    let replicas = s.dice.range(1, 3).to_string();
    let container = s.add(
        element,
        engine,
        &[("image", "image:latest"), ("replicas", &replicas)],
    );
    if s.dice.chance(30) {
        s.set(container, "replicas-per-host", "2");
    }
    let inner = s.dice.chance(80);
    let promotable = inner && s.dice.chance(40);
    if promotable {
        let value = s.dice.word(&["1", "1", "2"]);
        s.set(container, "promoted-max", value);
    }
    let address = s.dice.chance(60);
    if address || inner {
        let network = s.add(element, "network", &[]);
        if address {
            let third = s.resources.len() + 10;
            s.set(network, "ip-range-start", &format!("192.168.{third}.10"));
            s.set(network, "host-interface", "eth0");
        }
        if inner && (!address || s.dice.chance(30)) {
            s.set(network, "control-port", "3121");
        }
        if s.dice.chance(30) {
            let port = s.id("port");
            s.add(network, "port-mapping", &[("id", &port), ("port", "80")]);
        }
    }
    if s.dice.chance(40) {
        let storage = s.add(element, "storage", &[]);
        let mapping = s.id("map");
        s.add(
            storage,
            "storage-mapping",
            &[
                ("id", &mapping),
                ("source-dir-root", "/var/log"),
                ("target-dir", "/data"),
            ],
        );
    }
    let start = s.resources.len();
    if inner {
        super::resources::primitive(s, element, false, promotable);
    }
    s.resources.insert(
        start,
        Resource {
            id,
            kind: Kind::Bundle,
            promotable,
            top: true,
            element,
        },
    );
}
