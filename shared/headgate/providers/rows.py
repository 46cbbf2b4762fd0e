"""The providers: one row each, in the order in which a model's routes are tried when nothing else decides."""

from __future__ import annotations

from headgate.providers.betas import AZURE_BETAS, BEDROCK_BETAS, VERTEX_BETAS
from headgate.providers.table import Provider, Setting, index

_OPENAI_PATHS = {"responses": "/responses", "chat_completions": "/chat/completions"}

COMPATIBLE = frozenset(
    {
        "system_role",
        "max_tokens",
        "no_custom_tools",
        "no_allowed_tools",
        "no_web_search_options",
        "no_prompt_cache_key",
        "no_verbosity",
        "no_refusal",
    }
)
"""What servers that call themselves OpenAI-compatible cannot be trusted to know."""

_VERTEX = "/v1/projects/{project}/locations/{location}"

_GEMINI_API = Provider(
    slug="vertex",
    display_name="Google Gemini API",
    base_url="https://generativelanguage.googleapis.com",
    protocols=("gemini",),
    paths={
        "gemini": "/v1beta/models/{model}:streamGenerateContent?alt=sse",
        "gemini.count": "/v1beta/models/{model}:countTokens",
    },
    auth="x_goog_api_key",
    quirks=frozenset({"no_penalties"}),
    simulated=("gemini",),
)

ROWS: tuple[Provider, ...] = (
    Provider(
        slug="openai",
        display_name="OpenAI",
        aliases=("open-ai", "oai"),
        base_url="https://api.openai.com/v1",
        protocols=("responses", "chat_completions"),
        paths={**_OPENAI_PATHS, "responses.count": "/responses/input_tokens"},
        key_variables=("OPENAI_API_KEY",),
        quirks=frozenset({"no_stop_reasoning"}),
        simulated=("responses", "chat_completions"),
    ),
    Provider(
        slug="anthropic",
        display_name="Anthropic",
        aliases=("anthropic-ai",),
        base_url="https://api.anthropic.com",
        protocols=("messages",),
        paths={"messages": "/v1/messages", "messages.count": "/v1/messages/count_tokens"},
        auth="x_api_key",
        # Translated requests use the older version on purpose: it still takes temperature, top_p and top_k.
        headers={"anthropic-version": "2023-06-01"},
        key_variables=("ANTHROPIC_API_KEY",),
        simulated=("messages",),
    ),
    Provider(
        slug="xai",
        display_name="xAI",
        aliases=("x-ai", "grok"),
        base_url="https://api.x.ai/v1",
        protocols=("responses", "chat_completions"),
        paths=_OPENAI_PATHS,
        key_variables=("XAI_API_KEY",),
        quirks=frozenset(
            {
                "reasoning_extra",
                "reasoning_content",
                "efforts_listed",
                "no_stop_reasoning",
                "no_custom_tools",
                "no_allowed_tools",
                "no_web_search_options",
                "no_verbosity",
                "no_refusal",
                "seals_only",
                "search_domains",
                "files_by_url",
            }
        ),
        # An error, even if 0: the penalties. Passed over in silence: the others.
        refused=frozenset(
            {
                "audio",
                "frequency_penalty",
                "function_call",
                "functions",
                "logit_bias",
                "metadata",
                "modalities",
                "prediction",
                "presence_penalty",
                "prompt_cache_retention",
                "safety_identifier",
                "store",
            }
        ),
        # An error: metadata. Passed over in silence: the others.
        refused_responses=frozenset({"max_tool_calls", "metadata", "prompt_cache_retention", "safety_identifier"}),
        cache_header="x-grok-conv-id",
        simulated=("responses", "chat_completions"),
    ),
    Provider(
        slug="cohere",
        display_name="Cohere",
        base_url="https://api.cohere.com",
        protocols=("cohere",),
        paths={"cohere": "/v2/chat"},
        key_variables=("COHERE_API_KEY", "CO_API_KEY"),
        simulated=("cohere",),
    ),
    Provider(
        slug="mistral",
        display_name="Mistral AI",
        aliases=("mistralai",),
        base_url="https://api.mistral.ai/v1",
        key_variables=("MISTRAL_API_KEY",),
        # Every field that it does not know is a 422. Streams carry usage unasked.
        quirks=COMPATIBLE - {"no_prompt_cache_key"}
        | {
            "call_ids_9",
            "document_url",
            "efforts_listed",
            "no_stream_options",
            "strict_messages",
            "thinking_parts",
            "tool_parameters",
            "top_k",
        },
        renamed={"seed": "random_seed"},
        refused=frozenset(
            {
                "audio",
                "function_call",
                "functions",
                "logit_bias",
                "modalities",
                "moderation",
                "prompt_cache_options",
                "prompt_cache_retention",
                "safety_identifier",
                "service_tier",
                "store",
                "stream_options",
                "user",
                "verbosity",
                "web_search_options",
            }
        ),
        simulated=("chat_completions",),
    ),
    Provider(
        slug="vertex",
        display_name="Google Vertex AI",
        aliases=("google-vertex", "vertex-ai"),
        base_url="https://{host}",
        protocols=("gemini", "messages", "chat_completions"),
        paths={
            "gemini": f"{_VERTEX}/publishers/google/models/{{model}}:streamGenerateContent?alt=sse",
            "gemini.count": f"{_VERTEX}/publishers/google/models/{{model}}:countTokens",
            "messages": f"{_VERTEX}/publishers/anthropic/models/{{model}}:streamRawPredict",
            "messages.json": f"{_VERTEX}/publishers/anthropic/models/{{model}}:rawPredict",
            "messages.count": f"{_VERTEX}/publishers/anthropic/models/count-tokens:rawPredict",
            "chat_completions": f"{_VERTEX}/endpoints/openapi/chat/completions",
        },
        auth="google",
        settings={
            "project": Setting(("GOOGLE_VERTEX_PROJECT", "GOOGLE_CLOUD_PROJECT")),
            "location": Setting(("GOOGLE_VERTEX_LOCATION", "GOOGLE_CLOUD_LOCATION"), "global"),
        },
        key_variables=("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY"),
        quirks=COMPATIBLE
        | {"no_penalties", "model_in_path", "media_urls", "exclude_domains", "no_source_urls", "search_beta"},
        refused=frozenset({"container", "inference_geo", "mcp_servers", "service_tier", "speed"}),
        betas=VERTEX_BETAS,
        simulated=("gemini", "messages", "chat_completions"),
        with_key=_GEMINI_API,
    ),
    Provider(
        slug="bedrock",
        display_name="Amazon Bedrock",
        aliases=("aws", "aws-bedrock", "amazon", "amazon-bedrock"),
        base_url="https://bedrock-runtime.{region}.amazonaws.com",
        protocols=("converse",),
        paths={"converse": "/model/{model}/converse-stream", "converse.count": "/model/{model}/count-tokens"},
        auth="aws",
        # Not text/event-stream: the answer is AWS's binary event stream.
        headers={"accept": "application/vnd.amazon.eventstream"},
        settings={"region": Setting(("AWS_REGION", "AWS_DEFAULT_REGION"), "us-east-1")},
        key_variables=("AWS_BEARER_TOKEN_BEDROCK",),
        betas=BEDROCK_BETAS,
        simulated=("converse",),
    ),
    Provider(
        slug="azure",
        display_name="Microsoft Azure",
        aliases=("microsoft", "microsoft-azure", "ms-azure"),
        base_url="https://{resource}.services.ai.azure.com",
        protocols=("responses", "chat_completions", "messages"),
        paths={
            "responses": "/openai/v1/responses",
            "chat_completions": "/openai/v1/chat/completions",
            "messages": "/anthropic/v1/messages",
            "messages.count": "/anthropic/v1/messages/count_tokens",
        },
        auth="azure",
        headers={"anthropic-version": "2023-06-01"},
        settings={"resource": Setting(("AZURE_RESOURCE_NAME",))},
        key_variables=("AZURE_API_KEY", "AZURE_OPENAI_API_KEY"),
        quirks=frozenset({"no_stop_reasoning", "schema_beta"}),
        betas=AZURE_BETAS,
        simulated=("responses", "chat_completions", "messages"),
    ),
    Provider(
        slug="cloudflare",
        display_name="Cloudflare Workers AI",
        aliases=("cf", "cloudflare-ai"),
        base_url="https://api.cloudflare.com/client/v4/accounts/{account}/ai/v1",
        settings={"account": Setting(("CLOUDFLARE_ACCOUNT_ID",))},
        key_variables=("CLOUDFLARE_API_KEY", "CLOUDFLARE_API_TOKEN"),
        # Its Responses API is there for two models only, and does not stream.
        cache_header="x-session-affinity",
        quirks=COMPATIBLE - {"no_prompt_cache_key"} | {"reasoning_text", "top_k", "usage_increments", "no_media_urls"},
        refused=frozenset({"prompt_cache_retention"}),
        simulated=("chat_completions",),
    ),
    Provider(
        slug="huggingface",
        display_name="Hugging Face",
        aliases=("hf", "hugging-face"),
        base_url="https://router.huggingface.co/v1",
        protocols=("chat_completions", "responses"),
        # A translator in front of the router: it loses the calls of earlier turns, all calls but the first of those
        # made at once, the usage, and the reason why an answer ended.
        optional=frozenset({"responses"}),
        paths=_OPENAI_PATHS,
        key_variables=("HF_TOKEN", "HUGGINGFACE_API_KEY"),
        quirks=COMPATIBLE | {"one_summary", "texts_only"},
        refused_responses=frozenset({"max_tool_calls", "metadata", "prompt_cache_key", "prompt_cache_retention"}),
        variants=True,
        simulated=("chat_completions", "responses"),
    ),
    Provider(
        slug="deepinfra",
        display_name="DeepInfra",
        base_url="https://api.deepinfra.com/v1/openai",
        key_variables=("DEEPINFRA_API_KEY", "DEEPINFRA_TOKEN"),
        quirks=COMPATIBLE | {"reasoning_content"},
    ),
    Provider(
        slug="fireworks",
        display_name="Fireworks AI",
        aliases=("fireworks-ai",),
        base_url="https://api.fireworks.ai/inference/v1",
        key_variables=("FIREWORKS_API_KEY",),
        # Its cache is met by this header; thoughts under another name than reasoning_content are a 400.
        cache_header="x-session-affinity",
        quirks=COMPATIBLE - {"no_prompt_cache_key"} | {"reasoning_content", "top_k"},
        refused=frozenset({"prompt_cache_retention"}),
    ),
    Provider(
        slug="groq",
        display_name="Groq",
        base_url="https://api.groq.com/openai/v1",
        key_variables=("GROQ_API_KEY",),
        quirks=COMPATIBLE | {"bare_messages", "no_n"},
        refused=frozenset({"logprobs", "logit_bias", "top_logprobs"}),
    ),
    Provider(
        slug="together",
        display_name="Together AI",
        aliases=("togetherai", "together-ai"),
        base_url="https://api.together.xyz/v1",
        key_variables=("TOGETHER_API_KEY",),
        quirks=COMPATIBLE | {"top_k"},
    ),
    Provider(
        slug="openrouter",
        display_name="OpenRouter",
        aliases=("open-router",),
        base_url="https://openrouter.ai/api/v1",
        key_variables=("OPENROUTER_API_KEY",),
        quirks=COMPATIBLE | {"reasoning_details", "cache_control", "top_k"},
    ),
    # Any other compatible server (vLLM, Ollama, LM Studio): base URL and models by configuration.
    Provider(slug="custom", display_name="Custom", base_url="", quirks=COMPATIBLE),
)

PROVIDERS, ALIASES = index(ROWS)


def find_provider(name: str) -> Provider | None:
    """The row for a slug or one of its aliases."""
    slug = ALIASES.get(name.lower())
    return PROVIDERS[slug] if slug else None
