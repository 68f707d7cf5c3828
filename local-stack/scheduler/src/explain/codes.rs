//! The codes of reasons. They are part of the interface: scripts compare them. A code is never
//! renamed nor given another meaning; new ones may be added.

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $intended:literal;)*) => {
        /// Why something is as it is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The code as it is printed; it never changes.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// What the code means.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),+),)*
                }
            }

            /// Whether somebody wants it so: what stops a resource by such a reason stops it as
            /// intended.
            pub const fn intended(self) -> bool {
                match self {
                    $(Self::$name => $intended,)*
                }
            }
        }
    };
}

codes! {
    /// A ticket that the resource needs is not granted to this site.
    TicketNotGranted = "ticket-not-granted", true;
    /// A ticket that the resource needs is granted, but in standby.
    TicketStandby = "ticket-standby", true;
    /// `target-role` asks for the resource to be stopped.
    TargetRole = "target-role", true;
    /// `target-role` asks for the resource not to be promoted.
    TargetRoleUnpromoted = "target-role-unpromoted", true;
    /// `stop-all-resources` is set.
    StopAll = "stop-all-resources", true;
    /// The resource is not in the configuration any more, only in the history of a node.
    Removed = "removed", true;
    /// The partition has no quorum, and `no-quorum-policy` lets nothing be started (or promoted).
    NoQuorum = "no-quorum", false;
    /// Fencing is enabled and no fencing device is configured: everything is left alone.
    NoFencingDevice = "no-fencing-device", false;
    /// `maintenance-mode` is set: everything is left alone.
    MaintenanceMode = "maintenance-mode", true;
    /// The resource is in maintenance: it is left alone.
    Maintenance = "maintenance", true;
    /// `is-managed` is false: the resource is left alone.
    Unmanaged = "unmanaged", true;
    /// A failure with `on-fail=block` (the default for stop without fencing) blocks the resource.
    BlockedByFailure = "blocked-by-failure", false;
    /// The resource is active on too many nodes and `multiple-active` does not let it be restarted.
    MultipleActive = "multiple-active", false;
    /// A failure with `on-fail=stop` keeps the resource stopped.
    StoppedByFailure = "stopped-by-failure", false;
    /// The agent says that the configuration is wrong, on whatever node.
    FatalFailure = "fatal-failure", false;
    /// No node can run the resource; each node has its own reason.
    NoNode = "no-node", false;
    /// There is no node at all.
    NoNodes = "no-nodes", false;
    /// What must be started (or promoted) first is not.
    OrderFirst = "order-first", false;
    /// What must be stopped first cannot be stopped.
    StopFirst = "stop-first", false;
    /// The member of the group before this one does not run.
    GroupMember = "group-member", false;
    /// What the resource must be with does not run.
    ColocationPartner = "colocation-partner", false;
    /// A node must be fenced, and cannot be: fencing is disabled, has no device, or there is no quorum.
    FencingImpossible = "fencing-impossible", false;
    /// It must be known first what is active on the nodes.
    ProbesPending = "probes-pending", false;
    /// An operation of the resource is under way.
    ActionPending = "action-pending", false;
    /// An action that the resource waits for cannot be carried out.
    Waits = "waits", false;
    /// There are as many instances as there shall be.
    CloneMax = "clone-max", true;
    /// No agent has given an instance a promotion score.
    NoPromotionScore = "no-promotion-score", false;
    /// The node is offline.
    NodeOffline = "node-offline", false;
    /// The state of the node is not known; it must be fenced.
    NodeUnclean = "node-unclean", false;
    /// The node has not finished joining.
    NodePending = "node-pending", false;
    /// The node is in standby.
    NodeStandby = "node-standby", true;
    /// A failure with `on-fail=standby` has put the node in standby.
    NodeStandbyOnFail = "node-standby-on-fail", false;
    /// The node is in maintenance.
    NodeMaintenance = "node-maintenance", true;
    /// The node is shutting down.
    NodeShutdown = "node-shutdown", true;
    /// The node itself has a negative score.
    NodeScore = "node-score", true;
    /// The connection to the remote node, or the guest, does not run.
    RemoteConnection = "remote-connection", false;
    /// A location constraint names the node.
    Location = "location", true;
    /// A ban by `crm_resource --ban`, or left behind by a move.
    Ban = "ban", true;
    /// The rule of a location constraint holds for the node.
    LocationRule = "location-rule", true;
    /// The cluster is not symmetric, and no constraint allows the node.
    NotAllowed = "not-allowed", false;
    /// A constraint with `resource-discovery=exclusive` names other nodes only.
    DiscoveryExclusive = "discovery-exclusive", true;
    /// The resource has failed on the node as often as `migration-threshold` allows.
    MigrationThreshold = "migration-threshold", false;
    /// The agent or its software is missing on the node, or has refused for good.
    FailedThere = "failed-there", false;
    /// The resource could not be stopped on the node.
    StopFailed = "stop-failed", false;
    /// The health of the node is bad.
    NodeHealth = "node-health", false;
    /// The resource waits for the node that was shut down with it.
    ShutdownLock = "shutdown-lock", true;
    /// The node has too little of what the resource needs.
    Utilization = "utilization", false;
    /// There are as many instances on the node as may be.
    CloneNodeMax = "clone-node-max", true;
    /// What the resource must be with (or apart from) is elsewhere (or there).
    ColocationElsewhere = "colocation-elsewhere", false;
    /// What must be with the resource cannot be on the node.
    Dependent = "dependent", false;
    /// The node's score is the highest.
    BestScore = "best-score", false;
    /// Other nodes have the same score; the load, or the name, decides.
    Tie = "tie", false;
    /// Another node has a higher score.
    LowerScore = "lower-score", false;
    /// It is not managed, and runs there.
    LeftAlone = "left-alone", false;
}
