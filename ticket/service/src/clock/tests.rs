//! The clock goes forward, the alarm rings neither early nor never.

use std::time::Duration;

use super::*;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

#[test]
fn the_alarm_rings_not_before_its_time() {
    let clock = Clock::from_settings(None, None).expect("a clock");
    runtime().block_on(async {
        let mut alarm = Alarm::new(clock).expect("a timer");
        for wait in [Duration::from_millis(20), Duration::ZERO] {
            let at = clock.now().after(wait);
            alarm.set(Some(at)).expect("set");
            alarm.rung().await.expect("rings");
            assert!(clock.now() >= at);
        }
    });
}

#[test]
fn an_alarm_that_is_unset_does_not_ring() {
    let clock = Clock::from_settings(None, None).expect("a clock");
    runtime().block_on(async {
        let mut alarm = Alarm::new(clock).expect("a timer");
        alarm.set(Some(Time(1))).expect("set");
        alarm.set(None).expect("unset");
        let silence = tokio::time::timeout(Duration::from_millis(50), alarm.rung());
        assert!(silence.await.is_err());
    });
}

#[cfg(not(feature = "test-clock"))]
#[test]
fn a_build_without_a_test_clock_refuses_its_setting() {
    let error = Clock::from_settings(Some("9900"), None).expect_err("refused");
    assert!(error.contains("INTERLOCK_TEST_CLOCK_PPM"), "{error}");
}

#[cfg(feature = "test-clock")]
#[test]
fn a_test_clock_has_its_own_rate_and_steps() {
    let file = std::env::temp_dir().join(format!("interlock-step-{}", std::process::id()));
    std::fs::write(&file, "3600\n").expect("a scratch file");
    let step = Some(file.display().to_string());
    let clock = Clock::from_settings(Some("10000"), step).expect("a clock");
    assert_eq!(clock.local(1_000_000_000_000), Time(1_010_000_000_000));
    assert!(clock.local(clock.raw(Time(77_777_777_777))) >= Time(77_777_777_777));
    let plain = Clock::from_settings(None, None).expect("a clock");
    assert!(clock.realtime_nanos() - plain.realtime_nanos() > 3_599_000_000_000);
    std::fs::remove_file(&file).expect("the scratch file goes");
    for bad in ["x", "-1000000", ""] {
        assert!(Clock::from_settings(Some(bad), None).is_err(), "{bad}");
    }
}
