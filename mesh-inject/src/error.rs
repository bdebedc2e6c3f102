/// Why an object could not be injected. Nothing of it was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field, label or annotation does not hold what it must.
    #[error("{object}: {path} is {found}, expected {expected}")]
    Field {
        /// Kind, namespace and name, such as `Deployment default/reviews-v1`.
        object: String,
        /// The field's path from the object's root.
        path: String,
        /// What is there.
        found: String,
        /// What should be.
        expected: String,
    },
    /// The text is not YAML.
    #[error("document {} (line {}): {error}", .error.document, .error.line)]
    Yaml {
        /// The reader's words, with line and column.
        #[from]
        error: mesh_yaml::Error,
    },
    /// The injected object could not be written as YAML again.
    #[error("{object} cannot be written as YAML: {reason}")]
    Write {
        /// Kind, namespace and name.
        object: String,
        /// The writer's message.
        reason: String,
    },
}

impl Error {
    /// For a path inside a pod, before it is known which object has the pod.
    pub(crate) fn field(path: impl Into<String>, found: &str, expected: &str) -> Self {
        Self::Field {
            object: "Pod".to_owned(),
            path: path.into(),
            found: found.to_owned(),
            expected: expected.to_owned(),
        }
    }

    /// The same error with the object named and the path from its root.
    pub(crate) fn of(self, name: &str, prefix: &str) -> Self {
        match self {
            Self::Field { path, found, expected, .. } => Self::Field {
                object: name.to_owned(),
                path: prefix.to_owned() + &path,
                found,
                expected,
            },
            other => other,
        }
    }
}
