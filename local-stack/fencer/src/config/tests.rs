use super::*;

fn device(parameters: &[(&str, &str)], actions: &[&str]) -> Device {
    Device {
        id: "d".into(),
        agent: "fence_x".into(),
        parameters: parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        facts: Facts {
            actions: actions.iter().map(|a| (*a).to_owned()).collect(),
            host_argument: Some("plug".into()),
            ..Facts::default()
        },
        ..Device::default()
    }
}

#[test]
fn how_nodes_are_found_follows_from_what_there_is() {
    let all = ["list", "status"];
    for (parameters, actions, check) in [
        (
            &[("pcmk_host_list", "a b")][..],
            &all[..],
            HostCheck::Static,
        ),
        (&[("pcmk_host_map", "a:1")], &all, HostCheck::Static),
        (&[], &all, HostCheck::Dynamic),
        (&[], &["status"], HostCheck::Status),
        (&[], &["off"], HostCheck::None),
        (&[("pcmk_host_check", "none")], &all, HostCheck::None),
    ] {
        assert_eq!(device(parameters, actions).host_check(), check);
    }
    let mapped = device(&[("pcmk_host_map", "a:1;b:2,c=3")], &[]);
    assert_eq!(mapped.name_of("b"), "2");
    assert_eq!(mapped.name_of("c"), "3");
    assert_eq!(mapped.name_of("x"), "x");
}

#[test]
fn an_agent_is_told_its_own_parameters_and_the_name_it_knows() {
    let parameters = [
        ("ip", "pdu"),
        ("pcmk_host_map", "n1:7"),
        ("action", "reboot"),
        ("provides", "unfencing"),
    ];
    let lines = device(&parameters, &[]).lines("off", Some("n1"));
    let line = |n: &str, v: &str| (n.to_owned(), v.to_owned());
    let wanted = [
        line("action", "off"),
        line("nodename", "n1"),
        line("ip", "pdu"),
        line("plug", "7"),
    ];
    assert_eq!(lines, wanted);
    let suppressed = device(&[("pcmk_host_argument", "none")], &[]);
    assert_eq!(suppressed.lines("off", Some("n1")).len(), 2);
    assert_eq!(
        suppressed.lines("monitor", None),
        [line("action", "monitor")]
    );
}

#[test]
fn delays_are_fixed_by_node_and_random_below_a_bound() {
    let fixed = device(&[("pcmk_delay_base", "n1:5s;n2:250ms")], &[]);
    assert_eq!(fixed.delay_ms("n1", 7), 5000);
    assert_eq!(fixed.delay_ms("n2", 7), 250);
    assert_eq!(fixed.delay_ms("n3", 7), 0);
    let both = device(&[("pcmk_delay_base", "2"), ("pcmk_delay_max", "3s")], &[]);
    for random in [0, 1, 500, 1000, u64::MAX] {
        let delay = both.delay_ms("n1", random);
        assert!((2000..=3000).contains(&delay), "{delay}");
    }
    assert!((0..10).any(|random| both.delay_ms("n1", random) != 2000));
}

#[test]
fn actions_timeouts_and_tries_can_be_replaced() {
    let plain = device(&[], &["off", "on"]);
    assert_eq!(plain.word("reboot"), "off", "it cannot reboot");
    assert_eq!((plain.tries("off"), plain.timeout_ms("off", 60)), (2, 60));
    let own = [
        ("pcmk_reboot_action", "cycle"),
        ("pcmk_off_timeout", "120s"),
        ("pcmk_off_retries", "5"),
        ("pcmk_action_limit", "-1"),
    ];
    let own = device(&own, &["off"]);
    assert_eq!(own.word("reboot"), "cycle");
    assert_eq!((own.tries("off"), own.timeout_ms("off", 60)), (5, 120_000));
    assert_eq!((own.action_limit(), plain.action_limit()), (None, Some(1)));
}

#[test]
fn devices_and_topology_of_a_cib() {
    let text = r#"<cib><configuration><crm_config/><nodes/><resources>
      <primitive id="a" class="stonith" type="fence_ipmilan">
        <instance_attributes id="i"><nvpair id="p" name="ip" value="192.0.2.1"/></instance_attributes>
      </primitive>
      <primitive id="b" class="stonith" type="fence_apc"><meta_attributes id="m">
        <nvpair id="t" name="target-role" value="Stopped"/></meta_attributes></primitive>
      <primitive id="c" class="ocf" provider="heartbeat" type="Dummy"/>
    </resources><constraints><rsc_location id="l" rsc="a" node="n1" score="-INFINITY"/></constraints>
    <fencing-topology>
      <fencing-level id="f1" target="n1" index="2" devices="a,b"/>
      <fencing-level id="f2" target-pattern="^n[23]$" index="1" devices="a"/>
      <fencing-level id="f3" target-attribute="rack" target-value="1" index="1" devices="b"/>
      <fencing-level id="f4" target="n1" index="0" devices="a"/>
    </fencing-topology></configuration><status/></cib>"#;
    let cib = Cib::parse(text, None).unwrap();
    let found = devices(&cib);
    assert_eq!(found.len(), 1, "one is switched off: {found:?}");
    assert_eq!(found[0].parameters["ip"], "192.0.2.1");
    assert!(found[0].banned.contains("n1"));
    let levels = topology(&cib);
    assert_eq!(levels.len(), 3, "index 0 is none");
    let rack = [("rack".to_owned(), "1".to_owned())];
    let of = |node: &str, attributes: &[(String, String)]| {
        let mine = levels.iter().filter(|l| l.is_for(node, attributes));
        mine.map(|l| (l.index, l.devices.len())).collect::<Vec<_>>()
    };
    assert_eq!(of("n1", &[]), [(2, 2)]);
    assert_eq!(of("n2", &rack), [(1, 1), (1, 1)]);
    assert_eq!(of("n22", &[]), []);
}
