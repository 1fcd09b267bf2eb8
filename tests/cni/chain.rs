//! Debian's plugins, chained after ours.
