//! Membership, total order and quorum between the nodes of a site. Sans-io.
