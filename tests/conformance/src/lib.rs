//! Our answers beside Pacemaker's recorded ones.
