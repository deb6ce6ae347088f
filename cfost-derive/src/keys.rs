//! Which options there are, and what is said of the others.

use proc_macro2::Ident;

use crate::attr::Opt;
use crate::ctxt::Ctxt;
use crate::names::nearest;

/// Where options are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// `#[synced(..)]` on a model.
    Model,
    /// `#[synced(..)]` on a model's field.
    Field,
    /// `#[crdt(..)]` on a model's field.
    Rule,
    /// `#[synced(..)]` on a newtype or an enum.
    Value,
    /// `#[synced(..)]` on an enum's variant.
    Variant,
    /// In `renamed_from(..)`.
    Renamed,
    /// In `upgrade(..)`.
    Upgrade,
    /// In `changed_from(..)`.
    Changed,
    /// In `removed(..)`.
    Removed,
    /// `#[crdt(..)]` in `removed(..)`.
    Gone,
}

impl Place {
    /// The options that this version supports.
    fn supported(self) -> &'static [&'static str] {
        match self {
            Self::Model => &["table", "version", "space", "index", "delete", "history", "removed", "crate"],
            Self::Field => &[
                "id",
                "column",
                "skip",
                "index",
                "default",
                "immutable",
                "references",
                "on_delete",
                "search",
                "encrypted",
                "since",
                "backfill",
                "renamed_from",
                "upgrade",
            ],
            Self::Rule => &["lww", "counter", "set", "map", "list", "text", "changed_from"],
            Self::Value => &["crate"],
            Self::Variant => &["other", "rename"],
            Self::Renamed => &["in"],
            Self::Upgrade => &["with", "back", "in", "since"],
            Self::Changed => &["in", "back"],
            Self::Removed => &["in", "since", "renamed_from", "upgrade"],
            Self::Gone => &["lww", "counter", "set", "map", "list", "text"],
        }
    }

    /// What an option here is called in messages.
    fn noun(self) -> &'static str {
        match self {
            Self::Model => "struct option",
            Self::Field | Self::Rule => "field option",
            Self::Value => "type option",
            Self::Variant => "variant option",
            Self::Renamed => "option of 'renamed_from'",
            Self::Upgrade => "option of 'upgrade'",
            Self::Changed => "option of 'changed_from'",
            Self::Removed => "option of 'removed'",
            Self::Gone => "merge rule",
        }
    }

    /// Where an option goes that was written in the wrong place.
    fn direction(self, key: &str) -> String {
        match self {
            Self::Model => format!("write `#[synced({key})]` on the struct"),
            Self::Field => format!("write `#[synced({key})]` on a field"),
            Self::Rule => format!("write `#[crdt({key})]` on the field"),
            Self::Value => format!("write `#[synced({key})]` on the type"),
            Self::Variant => format!("write `#[synced({key})]` on a variant"),
            Self::Renamed | Self::Upgrade | Self::Changed | Self::Removed | Self::Gone => format!("write `{key}`"),
        }
    }
}

/// What others call an option of ours: (place, their name, ours).
const ALIASES: &[(Place, &str, &str)] = &[
    (Place::Model, "table_name", "table = \"..\""),
    (Place::Model, "name", "table = \"..\""),
    (Place::Model, "rename", "table = \"..\""),
    (Place::Model, "drop", "removed(name: Type = value, in = 2)"),
    (Place::Model, "dropped", "removed(name: Type = value, in = 2)"),
    (Place::Model, "remove", "removed(name: Type = value, in = 2)"),
    (Place::Model, "deleted", "removed(name: Type = value, in = 2)"),
    (Place::Field, "primary_key", "id"),
    (Place::Field, "pk", "id"),
    (Place::Field, "key", "id"),
    (Place::Field, "rename", "column = \"..\""),
    (Place::Field, "name", "column = \"..\""),
    (Place::Field, "column_name", "column = \"..\""),
    (Place::Field, "ignore", "skip"),
    (Place::Field, "ignored", "skip"),
    (Place::Field, "transient", "skip"),
    (Place::Field, "indexed", "index"),
    (Place::Field, "foreign_key", "references = Model"),
    (Place::Field, "belongs_to", "references = Model"),
    (Place::Field, "readonly", "immutable"),
    (Place::Field, "fts", "search"),
    (Place::Field, "full_text", "search"),
    (Place::Field, "secret", "encrypted"),
    (Place::Field, "sealed", "encrypted"),
    (Place::Field, "private", "encrypted"),
    (Place::Field, "renamed", "renamed_from(\"old\", in = 2)"),
    (Place::Field, "rename_from", "renamed_from(\"old\", in = 2)"),
    (Place::Field, "alias", "renamed_from(\"old\", in = 2)"),
    (Place::Field, "was", "renamed_from(\"old\", in = 2)"),
    (Place::Field, "from", "upgrade(old, with = f)"),
    (Place::Field, "migrate", "upgrade(old, with = f)"),
    (Place::Field, "convert", "upgrade(old, with = f)"),
    (Place::Field, "try_from", "upgrade(old, with = f)"),
    (Place::Field, "added", "since = 2"),
    (Place::Field, "added_in", "since = 2"),
    (Place::Rule, "last_writer_wins", "lww"),
    (Place::Rule, "register", "lww"),
    (Place::Rule, "pn_counter", "counter"),
    (Place::Rule, "or_set", "set"),
    (Place::Rule, "dict", "map"),
    (Place::Rule, "vec", "list"),
    (Place::Rule, "sequence", "list"),
    (Place::Rule, "from", "changed_from(lww, in = 2)"),
    (Place::Rule, "was", "changed_from(lww, in = 2)"),
    (Place::Variant, "fallback", "other"),
    (Place::Variant, "unknown", "other"),
    (Place::Variant, "name", "rename = \"..\""),
    (Place::Renamed, "since", "in = 2"),
    (Place::Renamed, "version", "in = 2"),
    (Place::Upgrade, "version", "in = 2"),
    (Place::Upgrade, "by", "with = f"),
    (Place::Upgrade, "using", "with = f"),
    (Place::Upgrade, "up", "with = f"),
    (Place::Upgrade, "down", "back = g"),
    (Place::Upgrade, "backward", "back = g"),
    (Place::Upgrade, "reverse", "back = g"),
    (Place::Upgrade, "downgrade", "back = g"),
    (Place::Changed, "version", "in = 2"),
    (Place::Changed, "since", "in = 2"),
    (Place::Removed, "version", "in = 2"),
    (Place::Removed, "default", "removed(name: Type = value, in = 2)"),
];

/// Whether the option is supported in this place; if it isn't, says so.
pub(crate) fn check(opt: &Opt, place: Place, cx: &mut Ctxt) -> bool {
    let key = opt.name();
    let supported = place.supported().contains(&key.as_str());
    if !supported {
        unsupported(&opt.key, &key, place, cx);
    }
    supported
}

fn unsupported(at: &Ident, key: &str, place: Place, cx: &mut Ctxt) {
    if key == "unique" && matches!(place, Place::Model | Place::Field) {
        return cx.help(
            at,
            "'unique' cannot hold while devices write offline",
            "use `index`, or `id(from(email))`, which makes equal values the same row",
        );
    }
    let message = format!("unknown {} '{key}'", place.noun());
    if key == "space" && place == Place::Field {
        return cx.help(at, message, "write `#[synced(space = field)]` on the struct, with this field's name");
    }
    let alias = ALIASES.iter().find(|(at, theirs, _)| *at == place && *theirs == key);
    let others = [Place::Field, Place::Rule, Place::Model, Place::Variant, Place::Value];
    let elsewhere = match place {
        Place::Model | Place::Field | Place::Rule => &others[..3],
        Place::Value | Place::Variant => &others[3..],
        Place::Renamed | Place::Upgrade | Place::Changed | Place::Removed | Place::Gone => &[],
    };
    let elsewhere = elsewhere.iter().filter(|other| **other != place);
    let alias_elsewhere = || {
        let is_alias = |other: &Place, (at, theirs, _): &&(Place, &str, &str)| at == other && *theirs == key;
        let find = |other: &Place| ALIASES.iter().find(|alias| is_alias(other, alias));
        elsewhere.clone().find_map(|other| find(other).map(|(_, _, ours)| other.direction(ours)))
    };
    let home = elsewhere.clone().find(|other| other.supported().contains(&key));
    let near = nearest(key, place.supported().iter().copied());
    let near_elsewhere = || {
        let near = |other: &Place| nearest(key, other.supported().iter().copied()).map(|key| other.direction(key));
        elsewhere.clone().find_map(near)
    };
    if let Some((_, _, ours)) = alias {
        cx.help(at, message, format_args!("CFOST's word for it is `{ours}`"));
    } else if let Some(home) = home {
        cx.help(at, message, home.direction(key));
    } else if let Some(direction) = alias_elsewhere() {
        cx.help(at, message, direction);
    } else if let Some(near) = near {
        cx.help(at, message, format_args!("did you mean `{near}`?"));
    } else if let Some(direction) = near_elsewhere() {
        cx.help(at, message, format_args!("did you mean to {direction}?"));
    } else {
        let known: Vec<String> = place.supported().iter().map(|key| format!("`{key}`")).collect();
        cx.help(at, message, format_args!("there are {}", known.join(", ")));
    }
}
