// Vercel's AI SDK as a client of the sandbox: node vercel.mjs ORDER, where ORDER is a JSON object with `base`, `key`,
// `model` and what generateImage takes. Prints one JSON object: the pictures' media types and Base64, or the error.
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { generateImage } from 'ai'

const { base, key, model, images, ...order } = JSON.parse(process.argv[2])
const provider = createOpenAICompatible({ name: 'sandbox', baseURL: base, apiKey: key })
if (images) order.prompt = { text: order.prompt, images: images.map(text => Buffer.from(text, 'base64')) }
try {
  const made = await generateImage({ model: provider.imageModel(model), ...order })
  const pictures = made.images.map(({ mediaType, base64 }) => ({ mediaType, base64 }))
  console.log(JSON.stringify({ pictures, warnings: made.warnings }))
} catch (error) {
  const { name, message, statusCode, isRetryable, errors } = error
  console.log(JSON.stringify({ name, message, statusCode, isRetryable, tries: errors?.length }))
}
