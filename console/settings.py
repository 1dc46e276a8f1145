"""Settings of every Sluice process, read from the environment, top-down by feature.

A secret that is missing stops the process with the name of the variable. Each secret is also read
from the file named by ``<NAME>_FILE``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import dj_database_url
import structlog
from django.core.exceptions import ImproperlyConfigured
from django.utils.csp import CSP
from django.utils.translation import gettext_lazy as _

from console.schedule import SCHEDULE

BASE_DIR = Path(__file__).resolve().parent.parent


def env(name: str, default: str) -> str:
    return os.environ.get(name) or default


def env_bool(name: str, *, default: bool = False) -> bool:
    return env(name, str(default)).lower() in {"1", "true", "yes", "on"}


def env_list(name: str, default: str = "") -> list[str]:
    return [item.strip() for item in env(name, default).split(",") if item.strip()]


def env_secret(name: str, *, optional: bool = False) -> str:
    """The secret `name`, from the environment or from the file that `<name>_FILE` points at."""
    if path := os.environ.get(f"{name}_FILE"):
        return Path(path).read_text().strip()
    if value := os.environ.get(name):
        return value
    if optional:
        return ""
    raise ImproperlyConfigured(f"Set {name} or {name}_FILE; `make up` makes one for you.")


def stripe_secrets(key: str, secrets: str) -> list[str]:
    """What webhooks are signed with. With an empty or short one anybody could sign a payment."""
    found = [one.strip() for one in secrets.split(",") if one.strip()]
    if key and not found:
        raise ImproperlyConfigured("Set STRIPE_WEBHOOK_SECRETS too: STRIPE_API_KEY is set.")
    if any(len(one.removeprefix("whsec_")) < 16 for one in found):
        raise ImproperlyConfigured("A secret of STRIPE_WEBHOOK_SECRETS is too short to be one.")
    return found


def version() -> str:
    """The version in the first release heading of CHANGELOG.md."""
    found = re.search(r"^## (\d+\.\d+\.\d+)", (BASE_DIR / "CHANGELOG.md").read_text(), re.MULTILINE)
    if found is None:
        raise ImproperlyConfigured("CHANGELOG.md has no `## x.y.z` heading.")
    return found[1]


# The site
VERSION = version()
SITE_NAME = env("SITE_NAME", "Sluice")
DEBUG = False
SECRET_KEY = env_secret("SECRET_KEY")
CONSOLE_URL = env("CONSOLE_URL", "http://localhost:8000").rstrip("/")
HTTPS = env_bool("HTTPS", default=CONSOLE_URL.startswith("https://"))
GATEWAY_URL = env("GATEWAY_URL", "http://localhost:8001/v1").rstrip("/")
ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
ROOT_URLCONF = "console.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "console",
    "inference",
    "billing",
    "tenants",
    "console.admin_apps.OperatorAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django.forms",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.usersessions",
    "console.sso",
    "django_htmx",
]

MIDDLEWARE = [
    "console.http.RequestMetricsMiddleware",
    "console.standing.NobodyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "console.sessions.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "console.sessions.SessionAgeMiddleware",
    "console.standing.PersonMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "console.audit_context.AuditContextMiddleware",
    "console.impersonation.ImpersonationMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "console" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "console.http.page_context",
            ],
            "builtins": ["console.templatetags.ui", "django.templatetags.i18n"],
        },
    }
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

# PostgreSQL: the truth
DATABASES: dict[str, Any] = {
    "default": {
        **dj_database_url.parse(
            env_secret("DATABASE_URL", optional=True) or "postgres://sluice@localhost:5432/sluice",
            engine="tenants.database",
        ),
        "OPTIONS": {
            "pool": {
                "min_size": 1,
                "max_size": 8,
                "timeout": 10,
                "reconnect_timeout": 5,  # then anew: its pauses double, up to minutes
            },
        },
        "CONN_HEALTH_CHECKS": True,  # a restart of PostgreSQL costs no request
    }
}

DATABASE_OWNER_URL = env_secret("DATABASE_OWNER_URL", optional=True)  # for `migrate` alone

# Valkey: counters, streams, broker; all of it can be rebuilt
VALKEY_URL = env("VALKEY_URL", "redis://localhost:6379/0")
CELERY_BROKER_URL = VALKEY_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULE = SCHEDULE

# People and their log-ins
AUTH_USER_MODEL = "tenants.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "console.passwords.BreachedPasswordValidator"},
]
BREACHED_PASSWORDS_FILE = env("BREACHED_PASSWORDS_FILE", "")
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
ACCOUNT_ADAPTER = "console.accounts.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_SIGNUP_FORM_CLASS = "console.account_forms.SignUpForm"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = True
ACCOUNT_EMAIL_VERIFICATION_SUPPORTS_RESEND = True
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
ACCOUNT_RATE_LIMITS = {"login_account": "20/15m/key", "login_failed": "10/m/ip,5/5m/key"}
SIGN_UP_OPEN = env_bool("SIGN_UP_OPEN")
MFA_REQUIRED = env_bool("MFA_REQUIRED", default=True)
MFA_ADAPTER = "console.accounts.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["webauthn", "totp", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_PASSKEY_SIGNUP_ENABLED = True
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_TOTP_ISSUER = SITE_NAME
MFA_TOTP_TOLERANCE = 1
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not HTTPS
SOCIALACCOUNT_ADAPTER = "console.sso.adapter.SsoAdapter"
SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True
SOCIALACCOUNT_EMAIL_VERIFICATION = "none"  # a verified domain vouches for its addresses
SOCIALACCOUNT_LOGIN_ON_GET = True  # a form that leads elsewhere is against the policy of pages
SSO_PRIVATE = env_bool("SSO_PRIVATE")
USERSESSIONS_ADAPTER = "console.accounts.SessionsAdapter"
USERSESSIONS_TRACK_ACTIVITY = True
SESSION_ENGINE = "console.sessions"
SESSION_COOKIE_AGE = 7 * 86400
CACHES = {"default": {"BACKEND": "console.cache.ValkeyCache", "KEY_PREFIX": "cache"}}
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"

# Mail: by an SMTP server, into a folder that the console shows, or printed
MAIL_FOLDER = "" if "SMTP_HOST" in os.environ else env("MAIL_FOLDER", "")
DEFAULT_FROM_EMAIL = env("DEFAULT_FROM_EMAIL", "Sluice <no-reply@localhost>")
MAILERS = {
    "default": {
        "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "OPTIONS": {
            "host": os.environ["SMTP_HOST"],
            "port": int(env("SMTP_PORT", "587")),
            "username": env("SMTP_USERNAME", ""),
            "password": env_secret("SMTP_PASSWORD"),
            "use_tls": True,
        },
    }
    if "SMTP_HOST" in os.environ
    else {
        "BACKEND": "django.core.mail.backends.filebased.EmailBackend",
        "OPTIONS": {"file_path": MAIL_FOLDER},
    }
    if MAIL_FOLDER
    else {"BACKEND": "django.core.mail.backends.console.EmailBackend"}
}

# API keys and stored secrets: version -> pepper, newest last; Fernet keys, newest first
API_KEY_PEPPERS = {
    number: pepper.encode()
    for number, pepper in enumerate(env_secret("API_KEY_PEPPERS").split(","), start=1)
}
ENCRYPTION_KEYS = env_secret("ENCRYPTION_KEYS").split(",")

# The audit trail: what signs its anchors, and where they are kept, which is better elsewhere
AUDIT_SIGNING_KEY = env_secret("AUDIT_SIGNING_KEY", optional=True)
AUDIT_PUBLIC_KEYS = env_list("AUDIT_PUBLIC_KEYS")
AUDIT_ANCHOR_URL = env("AUDIT_ANCHOR_URL", (BASE_DIR / ".run" / "anchors").as_uri())
AUDIT_ANCHOR_S3_ENDPOINT = env("AUDIT_ANCHOR_S3_ENDPOINT", "")
AUDIT_ANCHOR_KEEP_DAYS = int(env("AUDIT_ANCHOR_KEEP_DAYS", "2557"))

# Usage: after so many months the event of a request goes, and its sums stay
USAGE_EVENT_MONTHS = int(env("USAGE_EVENT_MONTHS", "84"))

# Prices and plans: whether a price needs two people, and what who signs up begins with
PRICE_APPROVAL = env_bool("PRICE_APPROVAL")
SIGN_UP_PLAN = env("SIGN_UP_PLAN", "free")

# Who sells, as invoices say it
SELLER_NAME = env("SELLER_NAME", SITE_NAME)
SELLER_ADDRESS = env("SELLER_ADDRESS", "")
SELLER_COUNTRY = env("SELLER_COUNTRY", "SE").upper()
SELLER_VAT_ID = env("SELLER_VAT_ID", "")
SELLER_REGISTRATION = env("SELLER_REGISTRATION", "")
SELLER_EMAIL = env("SELLER_EMAIL", "")
SELLER_IBAN = env("SELLER_IBAN", "")
SELLER_BIC = env("SELLER_BIC", "")
INVOICE_DUE_DAYS = int(env("INVOICE_DUE_DAYS", "30"))
VIES_URL = env("VIES_URL", "https://ec.europa.eu/taxation_customs/vies/rest-api")

# Payments by card: off without a key. Two secrets are valid while one replaces the other
STRIPE_API_KEY = env_secret("STRIPE_API_KEY", optional=True)
STRIPE_WEBHOOK_SECRETS = stripe_secrets(
    STRIPE_API_KEY, env_secret("STRIPE_WEBHOOK_SECRETS", optional=True)
)
STRIPE_API_BASE = env("STRIPE_API_BASE", "")
STRIPE_PAGES = ["https://checkout.stripe.com", "https://billing.stripe.com"]
PAYMENT_PAGES = ([STRIPE_API_BASE] if STRIPE_API_BASE else STRIPE_PAGES) if STRIPE_API_KEY else []
"""Where the buttons that pay lead to: their forms may."""
STRIPE_ACCOUNT = env("STRIPE_ACCOUNT", "")
WEBHOOK_RETENTION_DAYS = int(env("WEBHOOK_RETENTION_DAYS", "90"))

# The gateway
METRICS_TOKEN = env("METRICS_TOKEN", "")
MB = 1024 * 1024
GATEWAY_MAX_BODY_BYTES = int(env("GATEWAY_MAX_BODY_BYTES", str(4 * MB)))
GATEWAY_MAX_IMAGES_BODY_BYTES = int(env("GATEWAY_MAX_IMAGES_BODY_BYTES", str(20 * MB)))
GATEWAY_MAX_AUDIO_BODY_BYTES = int(env("GATEWAY_MAX_AUDIO_BODY_BYTES", str(100 * MB)))
GATEWAY_MAX_IMAGES = int(env("GATEWAY_MAX_IMAGES", "20"))
GATEWAY_MAX_IMAGE_PIXELS = int(env("GATEWAY_MAX_IMAGE_PIXELS", str(36_000_000)))
GATEWAY_BODY_TIMEOUT_S = float(env("GATEWAY_BODY_TIMEOUT_S", "60"))
GATEWAY_CORS_ORIGINS = env_list("GATEWAY_CORS_ORIGINS", "*")
GATEWAY_CONNECT_TIMEOUT_S = float(env("GATEWAY_CONNECT_TIMEOUT_S", "3"))
GATEWAY_FIRST_BYTE_TIMEOUT_S = float(env("GATEWAY_FIRST_BYTE_TIMEOUT_S", "60"))
GATEWAY_IDLE_TIMEOUT_S = float(env("GATEWAY_IDLE_TIMEOUT_S", "60"))
GATEWAY_TOTAL_TIMEOUT_S = float(env("GATEWAY_TOTAL_TIMEOUT_S", "900"))
GATEWAY_KEEPALIVE_S = float(env("GATEWAY_KEEPALIVE_S", "10"))
GATEWAY_SEND_TIMEOUT_S = float(env("GATEWAY_SEND_TIMEOUT_S", "30"))
GATEWAY_QUEUE_TIMEOUT_S = float(env("GATEWAY_QUEUE_TIMEOUT_S", "30"))
GATEWAY_MAX_WAITING = int(env("GATEWAY_MAX_WAITING", "100"))
GATEWAY_WORKERS = int(env("GATEWAY_WORKERS", "1"))
GATEWAY_OWN_CORES = env_bool("GATEWAY_OWN_CORES")
GATEWAY_DRAIN_DELAY_S = float(env("GATEWAY_DRAIN_DELAY_S", "0"))
GATEWAY_DRAIN_S = float(env("GATEWAY_DRAIN_S", "60"))
SNAPSHOT_MAX_AGE_S = float(env("SNAPSHOT_MAX_AGE_S", "10"))
SPOOL_DIR = Path(env("SPOOL_DIR", str(BASE_DIR / ".run" / "spool")))
SPOOL_KEEP_S = float(env("SPOOL_KEEP_S", str(7 * 86400)))
SPOOL_MAX_MB = int(env("SPOOL_MAX_MB", "4096"))
SPOOL_MIN_FREE_MB = int(env("SPOOL_MIN_FREE_MB", "512"))
SPOOL_SLOW_S = float(env("SPOOL_SLOW_S", "0.25"))
SPOOL_PATIENCE_S = float(env("SPOOL_PATIENCE_S", "10"))
# The management API
MANAGEMENT_URL = f"{CONSOLE_URL}/api/v1"
MANAGEMENT_REQUESTS_PER_MINUTE = int(env("MANAGEMENT_REQUESTS_PER_MINUTE", "600"))
SPECTACULAR_SETTINGS = {"OAS_VERSION": "3.1.0", "SORT_OPERATIONS": False}
REST_FRAMEWORK = {"UNAUTHENTICATED_USER": None, "UNAUTHENTICATED_TOKEN": None}

# Who is in front: so many proxies append to X-Forwarded-For, and all in it left of them is hearsay
TRUSTED_PROXIES = int(env("TRUSTED_PROXIES", "0"))

# Leaked keys: who may report them signed, as `id:base64 of its ECDSA P-256 public key in DER`
SECRET_SCANNING_KEYS = env_list("SECRET_SCANNING_KEYS")

# Browsers: nothing inline, nothing from elsewhere
SECURE_CSP = {
    "default-src": [CSP.NONE],
    "script-src": [CSP.SELF],
    "style-src": [CSP.SELF],
    "img-src": [CSP.SELF, "data:"],
    "font-src": [CSP.SELF],
    "connect-src": [CSP.SELF],
    "form-action": [CSP.SELF, *PAYMENT_PAGES],
    "base-uri": [CSP.NONE],
    "frame-ancestors": [CSP.NONE],
}
SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env_bool("BEHIND_PROXY") else None
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
COOKIE_PREFIX = "__Host-" if HTTPS else ""  # no other host, and no plain HTTP, can set these
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = f"{COOKIE_PREFIX}sessionid", f"{COOKIE_PREFIX}csrftoken"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
CSRF_TRUSTED_ORIGINS = [CONSOLE_URL]
X_FRAME_OPTIONS = "DENY"

# Files
STATIC_URL = "/static/"
STATIC_ROOT = Path(env("STATIC_ROOT", str(BASE_DIR / "static")))
UPLOAD_MAX_BYTES = DATA_UPLOAD_MAX_MEMORY_SIZE = FILE_UPLOAD_MAX_MEMORY_SIZE = 32 * MB
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]  # never on disk
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

# Words and times
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "console" / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True

# Logs: one JSON line an event
LOG_LEVEL = env("LOG_LEVEL", "INFO").upper()
structlog.configure(
    wrapper_class=structlog.make_filtering_bound_logger(LOG_LEVEL),
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ],
    logger_factory=structlog.WriteLoggerFactory(),
    cache_logger_on_first_use=True,
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
            "foreign_pre_chain": [
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso"),
                structlog.processors.format_exc_info,
            ],
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "loggers": {"python_multipart": {"level": "ERROR"}},  # it warns of every bad form
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
}
