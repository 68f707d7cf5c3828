//! The cluster's options.

use crate::model::Map;
use crate::text;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoQuorum {
    Stop,
    Freeze,
    Ignore,
    Demote,
    Fence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placement {
    Default,
    Utilization,
    Minimal,
    Balanced,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HealthStrategy {
    None,
    MigrateOnRed,
    OnlyGreen,
    Progressive,
    Custom,
}

#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) quorate: bool,
    pub(crate) no_quorum: NoQuorum,
    pub(crate) symmetric: bool,
    pub(crate) maintenance: bool,
    pub(crate) start_failure_fatal: bool,
    pub(crate) startup_probes: bool,
    pub(crate) fencing: bool,
    pub(crate) have_fencing: bool,
    pub(crate) fencing_action: String,
    pub(crate) fencing_timeout: String,
    pub(crate) concurrent_fencing: bool,
    pub(crate) startup_fencing: bool,
    pub(crate) remote_without_quorum: bool,
    pub(crate) priority_fencing_delay: i64,
    pub(crate) node_pending_timeout: i64,
    pub(crate) cluster_delay: String,
    pub(crate) batch_limit: u32,
    pub(crate) migration_limit: i32,
    pub(crate) shutdown_lock: bool,
    pub(crate) shutdown_lock_limit: i64,
    pub(crate) stop_all: bool,
    pub(crate) stop_removed: bool,
    pub(crate) cancel_removed: bool,
    pub(crate) placement: Placement,
    pub(crate) health: HealthStrategy,
    pub(crate) health_base: i32,
    pub(crate) health_green: i32,
    pub(crate) health_yellow: i32,
    pub(crate) health_red: i32,
    pub(crate) cluster_name: Option<String>,
    pub(crate) unfencing: bool,
}

struct Reader<'m, 'a>(&'m Map<'a>);

impl Reader<'_, '_> {
    /// By the present name or the former one.
    fn get(&self, name: &str, former: &str) -> Option<&str> {
        let found = self.0.get(name).or_else(|| self.0.get(former));
        found.map(AsRef::as_ref)
    }

    fn flag(&self, name: &str, former: &str, default: bool) -> bool {
        self.get(name, former)
            .and_then(text::parse_bool)
            .unwrap_or(default)
    }

    fn seconds(&self, name: &str) -> i64 {
        i64::from(text::interval_ms(self.get(name, ""))) / 1000
    }

    fn score(&self, name: &str, default: i32) -> i32 {
        self.get(name, "").map_or(default, text::parse_score)
    }
}

/// Reads the options. `quorate` and `panic` are facts of the CIB itself.
pub(crate) fn read(values: &Map<'_>, quorate: bool, panic: bool) -> Options {
    let r = Reader(values);
    let fencing = r.flag("fencing-enabled", "stonith-enabled", true);
    let no_quorum = match r
        .get("no-quorum-policy", "")
        .map(str::to_ascii_lowercase)
        .as_deref()
    {
        Some("ignore") => NoQuorum::Ignore,
        Some("freeze") => NoQuorum::Freeze,
        Some("demote") => NoQuorum::Demote,
        Some("suicide" | "fence") if fencing && (panic || quorate) => NoQuorum::Fence,
        _ => NoQuorum::Stop,
    };
    let action = match r
        .get("fencing-action", "stonith-action")
        .unwrap_or("reboot")
    {
        "poweroff" | "off" => "off",
        _ => "reboot",
    };
    let timeout = r.get("fencing-timeout", "stonith-timeout").unwrap_or("60s");
    let number = |name: &str| r.get(name, "").and_then(text::leading_int);
    Options {
        quorate,
        no_quorum,
        symmetric: r.flag("symmetric-cluster", "", true),
        maintenance: r.flag("maintenance-mode", "", false),
        start_failure_fatal: r.flag("start-failure-is-fatal", "", true),
        startup_probes: r.flag("enable-startup-probes", "", true),
        fencing,
        have_fencing: r.flag("have-watchdog", "", false),
        fencing_action: action.into(),
        fencing_timeout: timeout.into(),
        concurrent_fencing: r.flag("concurrent-fencing", "", true),
        startup_fencing: fencing && r.flag("startup-fencing", "", true),
        remote_without_quorum: r.flag("fence-remote-without-quorum", "", false),
        priority_fencing_delay: r.seconds("priority-fencing-delay"),
        node_pending_timeout: r.seconds("node-pending-timeout"),
        cluster_delay: r.get("cluster-delay", "").unwrap_or("60s").into(),
        batch_limit: number("batch-limit")
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(0),
        migration_limit: number("migration-limit")
            .and_then(|n| i32::try_from(n).ok())
            .unwrap_or(-1),
        shutdown_lock: r.flag("shutdown-lock", "", false),
        shutdown_lock_limit: r.seconds("shutdown-lock-limit"),
        stop_all: r.flag("stop-all-resources", "", false),
        stop_removed: r.flag("stop-removed-resources", "stop-orphan-resources", true),
        cancel_removed: r.flag("cancel-removed-actions", "stop-orphan-actions", true),
        placement: read_placement(&r),
        health: read_health(&r),
        health_base: r.score("node-health-base", 0),
        health_green: r.score("node-health-green", 0),
        health_yellow: r.score("node-health-yellow", 0),
        health_red: r.score("node-health-red", -text::INFINITY),
        cluster_name: r.get("cluster-name", "").map(str::to_owned),
        unfencing: false,
    }
}

fn read_placement(r: &Reader<'_, '_>) -> Placement {
    match r.get("placement-strategy", "").unwrap_or("default") {
        "utilization" => Placement::Utilization,
        "minimal" => Placement::Minimal,
        "balanced" => Placement::Balanced,
        _ => Placement::Default,
    }
}

fn read_health(r: &Reader<'_, '_>) -> HealthStrategy {
    match r.get("node-health-strategy", "").unwrap_or("none") {
        "migrate-on-red" => HealthStrategy::MigrateOnRed,
        "only-green" => HealthStrategy::OnlyGreen,
        "progressive" => HealthStrategy::Progressive,
        "custom" => HealthStrategy::Custom,
        _ => HealthStrategy::None,
    }
}
