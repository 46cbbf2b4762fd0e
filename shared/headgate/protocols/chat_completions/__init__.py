"""OpenAI's Chat Completions: a frontend of the gateway, and the protocol of most upstreams.

Quirks of a provider row that this package knows:

=========================  ===========================================================================================
``system_role``            has no ``developer`` role: system text goes out as ``system``
``max_tokens``             the output bound is called ``max_tokens``, not ``max_completion_tokens``
``reasoning_content``      wants its earlier thoughts back as ``reasoning_content`` of the assistant message
``reasoning_text``         wants them back as ``reasoning`` (servers that build on vLLM)
``thinking_parts``         its thoughts are parts of ``content``, in answers and in the history (Mistral)
``reasoning_details``      takes OpenRouter's ``reasoning_details`` in the history
``reasoning_extra``        ``completion_tokens`` leaves the reasoning tokens out (xAI)
``efforts_listed``         takes ``reasoning_effort`` only of models whose levels the catalogue lists (xAI, Mistral)
``usage_increments``       each chunk's ``usage`` counts that chunk; the sum comes last, in no chunk (Cloudflare)
``extra_content``          Gemini's compatibility layer: thought signatures in ``tool_calls[].extra_content``
``cache_control``          takes ``cache_control`` marks on content parts and tools
``top_k``                  takes ``top_k``
``media_in_results``       takes more than text in ``tool`` messages
``no_custom_tools``        has no free-text tools: they are offered as functions with one string
``no_allowed_tools``       ``tool_choice`` knows no ``allowed_tools``: the other tools are left out
``no_web_search_options``  cannot search the web
``no_strict``              knows no ``strict`` on tools
``no_stop``                refuses ``stop``
``no_stop_reasoning``      refuses ``stop`` from models that reason (OpenAI, xAI)
``efforts_listed``         takes ``reasoning_effort`` only of models whose levels the catalogue lists (xAI)
``no_refusal``             assistant messages take no ``refusal``
``no_stream_options``      refuses ``stream_options``
``no_prompt_cache_key``    refuses ``prompt_cache_key`` and ``prompt_cache_retention``
``no_verbosity``           refuses ``verbosity``
``no_media_urls``          takes images as data URLs only, no web addresses
``files_by_url``           takes no files in Chat Completions (xAI, whose Responses reads files at an address)
``no_n``                   gives one choice only
``tool_parameters``        functions must have ``parameters``
``bare_messages``          messages take no fields that say nothing, and no ``name`` (Groq)
``strict_messages``        messages have known fields and a fixed order, see ``strict_messages.py`` (Mistral)
``document_url``           takes documents as ``document_url`` parts, by address too (Mistral)
``call_ids_9``             tool call ids are exactly nine letters and digits (Mistral)
=========================  ===========================================================================================
"""

PROTOCOL = "chat_completions"
