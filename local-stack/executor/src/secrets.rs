//! What must not be written down: values of parameters that are passwords and the like.

/// Parts of names whose values are secrets, in lower case.
const SECRET_NAMES: [&str; 10] = [
    "passwd",
    "password",
    "passphrase",
    "secret",
    "token",
    "private_key",
    "privatekey",
    "access_key",
    "api_key",
    "apikey",
];

/// Parameters that name a file or a program which holds the secret: their values are none.
const NOT_SECRET: [&str; 3] = ["script", "file", "path"];

/// Shorter values are not taken out of texts: they would take half of the words with them.
const SECRET_CHARS_MIN: usize = 3;

/// What stands in a secret's place.
pub const REDACTED: &str = "******";

/// Whether a parameter's value is a secret, by the parameter's name.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let elsewhere = NOT_SECRET.iter().any(|part| name.contains(part));
    !elsewhere && SECRET_NAMES.iter().any(|part| name.contains(part))
}

/// The secrets among parameters.
pub fn of<'a>(parameters: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<&'a str> {
    let mut found: Vec<&str> = parameters
        .filter(|(name, value)| is_secret_name(name) && value.chars().count() >= SECRET_CHARS_MIN)
        .map(|(_, value)| value)
        .collect();
    // One may be part of another.
    found.sort_by_key(|value| std::cmp::Reverse(value.len()));
    found
}

/// A text without secrets.
pub fn redact(mut text: String, secrets: &[&str]) -> String {
    for secret in secrets {
        if text.contains(secret) {
            text = text.replace(secret, REDACTED);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_names_and_taken_out_of_texts() {
        for name in ["password", "passwd", "OCF_RESKEY_Secret-Key", "auth_token"] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["passwd_script", "ip", "port", "secret_file"] {
            assert!(!is_secret_name(name), "{name}");
        }
        let parameters = [("user", "admin"), ("passwd", "abc"), ("password", "abcdef")];
        let secrets = of(parameters.into_iter());
        assert_eq!(
            redact("admin: abcdef and abc are wrong".into(), &secrets),
            "admin: ****** and ****** are wrong"
        );
    }
}
