//! Nodes and resources as the scheduler sees them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

use cib::Element;

use crate::action_list::ActionList;
use crate::amounts::Amounts;
use crate::hash::NumberMap;
use crate::ids::{ColId, LocId, NodeId, RscId};
use crate::words::Word;

/// Names and values.
pub(crate) type Map<'a> = BTreeMap<Cow<'a, str>, Cow<'a, str>>;

/// What a resource is or shall be; the order matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Role {
    Unknown,
    Stopped,
    Started,
    Unpromoted,
    Promoted,
}

impl Role {
    /// Reads a role, also by its former names.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "unknown" => Self::Unknown,
            "stopped" => Self::Stopped,
            "started" => Self::Started,
            "unpromoted" | "slave" => Self::Unpromoted,
            "promoted" | "master" => Self::Promoted,
            _ => return None,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Stopped => "Stopped",
            Self::Started => "Started",
            Self::Unpromoted => "Unpromoted",
            Self::Promoted => "Promoted",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NodeKind {
    Member,
    /// A remote or guest node.
    Remote,
}

/// A node and its state.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    pub(crate) id: &'a str,
    pub(crate) name: &'a str,
    pub(crate) kind: NodeKind,
    pub(crate) weight: i32,
    pub(crate) probe_mode: ProbeMode,
    pub(crate) online: bool,
    pub(crate) unclean: bool,
    pub(crate) unseen: bool,
    pub(crate) pending: bool,
    pub(crate) standby: bool,
    pub(crate) standby_on_fail: bool,
    pub(crate) shutdown: bool,
    pub(crate) expected_up: bool,
    pub(crate) maintenance: bool,
    pub(crate) discovery: bool,
    pub(crate) unpacked: bool,
    pub(crate) is_dc: bool,
    pub(crate) remote_reset: bool,
    pub(crate) remote_fenced: bool,
    pub(crate) remote_maintenance: bool,
    pub(crate) connection: Option<RscId>,
    /// Whether the attribute `#uname` is just the node's own name (known once assignment begins).
    pub(crate) own_name: bool,
    pub(crate) attrs: Map<'a>,
    pub(crate) utilization: Amounts,
    pub(crate) running: Vec<RscId>,
    pub(crate) allocated: Vec<RscId>,
    pub(crate) resources: i32,
    pub(crate) priority: i32,
    /// Of a resource's parameters, by operation and interval.
    pub(crate) digests: NumberMap<(RscId, Word, u32), Rc<crate::digest::Digests>>,
}

/// Whether a resource may be probed on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ProbeMode {
    #[default]
    Always,
    Never,
    Exclusive,
}

/// What a resource knows about a node.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Slot {
    pub(crate) present: bool,
    pub(crate) score: i32,
    /// Instances of a clone that are assigned there.
    pub(crate) count: i32,
    pub(crate) probe_mode: ProbeMode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Variant {
    Primitive,
    Group,
    Clone,
    Bundle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MultiplyActive {
    Restart,
    Stop,
    Block,
    Unexpected,
}

macro_rules! flags {
    ($name:ident: $($flag:ident = $bit:expr,)*) => {
        /// A set of flags.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub(crate) struct $name(pub(crate) u32);

        impl $name {
            $(pub(crate) const $flag: Self = Self(1 << $bit);)*

            #[inline]
            pub(crate) fn has(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            #[inline]
            pub(crate) fn any(self, other: Self) -> bool {
                self.0 & other.0 != 0
            }

            #[inline]
            pub(crate) fn set(&mut self, other: Self) {
                self.0 |= other.0;
            }

            #[inline]
            pub(crate) fn clear(&mut self, other: Self) {
                self.0 &= !other.0;
            }
        }

        impl std::ops::BitOr for $name {
            type Output = Self;

            fn bitor(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }
    };
}
pub(crate) use flags;

flags! { RscFlags:
    UNIQUE = 0,
    MANAGED = 1,
    BLOCKED = 2,
    REMOVED = 3,
    REMOVED_LAUNCHED = 4,
    NOTIFY = 5,
    PROMOTABLE = 6,
    CRITICAL = 7,
    MAINTENANCE = 8,
    MIGRATABLE = 9,
    NEEDS_QUORUM = 10,
    NEEDS_FENCING = 11,
    NEEDS_UNFENCING = 12,
    FENCE_DEVICE = 13,
    UNASSIGNED = 14,
    ASSIGNING = 15,
    FAILED = 16,
    STOP_IF_FAILED = 17,
    START_PENDING = 18,
    RESTARTING = 19,
    STOP_UNEXPECTED = 20,
    RELOAD = 21,
    UPDATING_NODES = 22,
    IGNORE_FAILURE = 23,
    REPLICA_CONTAINER = 24,
    REMOTE_NESTING = 25,
    EXCLUSIVE_PROBES = 26,
    REMOTE_CONNECTION = 27,
    PROMOTION_ADDED = 29,
    PROMOTION_CONSTRAINED = 30,
}

/// An operation as configured for a resource.
#[derive(Debug, Clone)]
pub(crate) struct OpConfig<'a> {
    pub(crate) name: &'a str,
    pub(crate) interval_ms: u32,
    pub(crate) enabled: bool,
    pub(crate) element: Element<'a>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct CloneData {
    pub(crate) max: i32,
    pub(crate) node_max: i32,
    pub(crate) promoted_max: i32,
    pub(crate) promoted_node_max: i32,
    pub(crate) total: i32,
    pub(crate) ordered: bool,
    pub(crate) notify: [Option<Box<crate::notify::Notify>>; 4],
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Replica {
    pub(crate) container: RscId,
    pub(crate) ip: Option<RscId>,
    pub(crate) remote: Option<RscId>,
    pub(crate) child: Option<RscId>,
    pub(crate) node: Option<NodeId>,
}

#[derive(Debug, Clone)]
pub(crate) struct BundleData {
    pub(crate) replicas: Vec<Replica>,
    pub(crate) per_host: i32,
    pub(crate) child: Option<RscId>,
}

/// A resource: an instance of a primitive, or a collective.
#[derive(Debug)]
pub(crate) struct Resource<'a> {
    /// With the instance number, if it is an instance.
    pub(crate) id: Rc<str>,
    /// As configured.
    pub(crate) xml_id: &'a str,
    /// As an anonymous instance is called in history, if different.
    pub(crate) clone_name: Option<&'a str>,
    pub(crate) instance: Option<i32>,
    pub(crate) variant: Variant,
    /// Its configuration (or history entry, for one that is not configured).
    pub(crate) xml: Element<'a>,
    pub(crate) template: Option<Element<'a>>,
    pub(crate) class: &'a str,
    pub(crate) provider: Option<&'a str>,
    pub(crate) kind: &'a str,
    pub(crate) parent: Option<RscId>,
    pub(crate) children: Vec<RscId>,
    pub(crate) flags: RscFlags,
    pub(crate) meta: Map<'a>,
    pub(crate) ops: Rc<Vec<OpConfig<'a>>>,
    pub(crate) params: Vec<(Option<NodeId>, Rc<Map<'a>>)>,
    /// Whether parameters may differ between nodes.
    pub(crate) params_vary: bool,
    pub(crate) utilization: Rc<Amounts>,
    pub(crate) priority: i32,
    pub(crate) stickiness: i32,
    pub(crate) migration_threshold: i32,
    pub(crate) failure_timeout: i64,
    pub(crate) multiply_active: MultiplyActive,
    pub(crate) role: Role,
    pub(crate) next_role: Role,
    pub(crate) running_on: Vec<NodeId>,
    pub(crate) known_on: Vec<NodeId>,
    pub(crate) allowed: Vec<Slot>,
    pub(crate) assigned: Option<NodeId>,
    pub(crate) dangling: Vec<NodeId>,
    pub(crate) partial_target: Option<NodeId>,
    pub(crate) partial_source: Option<NodeId>,
    pub(crate) pending_task: Option<&'a str>,
    pub(crate) pending_node: Option<NodeId>,
    pub(crate) lock_node: Option<NodeId>,
    pub(crate) lock_time: i64,
    pub(crate) launcher: Option<RscId>,
    pub(crate) launched: Vec<RscId>,
    pub(crate) reconnect_ms: u32,
    pub(crate) actions: ActionList,
    pub(crate) this_with: Vec<ColId>,
    pub(crate) with_this: Vec<ColId>,
    pub(crate) locations: Vec<LocId>,
    pub(crate) tickets: Vec<usize>,
    pub(crate) clone: Option<Box<CloneData>>,
    pub(crate) bundle: Option<Box<BundleData>>,
    /// Position in a promotion order, and the score there.
    pub(crate) sort_index: i32,
    pub(crate) promotion_priority: i32,
}

impl Resource<'_> {
    pub(crate) fn is(&self, flag: RscFlags) -> bool {
        self.flags.has(flag)
    }

    pub(crate) fn meta(&self, name: &str) -> Option<&str> {
        self.meta.get(name).map(AsRef::as_ref)
    }

    pub(crate) fn meta_true(&self, name: &str) -> bool {
        crate::text::is_true(self.meta(name))
    }
}
