"""Google's Gemini protocol, upstream side: ``generateContent`` as Vertex AI and the Gemini API speak it.

The model's name stands in the address, not in the body, and so does whether the answer streams
(``…/models/{model}:streamGenerateContent?alt=sse``). The events have no names and the stream no closing mark.

Quirks that the writer and the reader know; a provider's row or a model's route names them:

=======================  =========================================================================================
``thought_signatures``   calls in the history must be signed; an unknown signature is replaced by the skip value
``json_with_tools``      structured output and function tools go together; without it a tool stands for the output
``media_in_results``     function responses hold images and PDFs; without it they follow as parts of the user turn
``media_resolution``     ``mediaResolution`` is taken on a part (``detail`` of an image)
``search_per_query``     web searches are billed by the query; without it by the grounded answer
``media_urls``           the vendor fetches ``https`` and ``gs`` addresses itself (Vertex AI)
``exclude_domains``      the web search takes domains to leave out (Vertex AI)
``openapi_schema``       schemas are taken in the OpenAPI subset only, not as JSON Schema
``no_call_ids``          calls and responses have no ``id``; they are matched by their order
``no_validated_mode``    the calling mode ``VALIDATED`` (arguments follow the schema) is unknown
``no_penalties``         frequency and presence penalties are refused
=======================  =========================================================================================
"""

PROTOCOL = "gemini"

GEMINI_3_QUIRKS = frozenset(
    {"thought_signatures", "json_with_tools", "media_in_results", "media_resolution", "search_per_query"}
)
"""What sets Gemini 3 and later apart from 2.5."""
