"""Training by the `Trainer` of transformers, with the batches, loss, optimiser and schedule of training/train.py.

For those who have callbacks or launchers around a `Trainer`. The model knows no loss: the trainer computes it.
"""

import json
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from torch.utils.data import DataLoader, Dataset
from transformers import CLIPImageProcessorPil, Trainer, TrainerCallback, TrainingArguments

from hf_hyperbolic.losses import PairMasks, TiledMasks
from hf_hyperbolic.modeling_hyperbolic_clip import HyperbolicCLIPVisionModel
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.embed_crops import embed_crops
from hf_hyperbolic.training.feeds import TableFeed
from hf_hyperbolic.training.finite_weights import nonfinite_weight
from hf_hyperbolic.training.gather import gather_embeddings, gather_nodes
from hf_hyperbolic.training.objective import objective
from hf_hyperbolic.training.optimisation import learning_rate_factor, parameter_groups
from hf_hyperbolic.training.precision import resolve_precision
from hf_hyperbolic.training.sources import Split
from hf_hyperbolic.training.speed import adamw, speed_up
from hf_hyperbolic.training.validation import Validation

# what the loop of training/train.py does itself
_LOOP_ALONE = ("stream", "micro_batch_size", "cache_features", "lora_rank", "ema_decay", "text_weight")


def training_arguments(settings: TrainArguments, **others: Any) -> TrainingArguments:
    """The `TrainingArguments` that make a `Trainer` do what training/train.py does with `settings`.

    Args:
        settings: of a run.
        **others: fields of `TrainingArguments` that go over these.
    """
    precision = resolve_precision(settings.mixed_precision, settings.cpu)
    same: dict[str, Any] = {
        "output_dir": settings.output_dir,
        "max_steps": settings.max_steps,
        "per_device_train_batch_size": 1,  # an item of the data set is a batch
        "learning_rate": settings.learning_rate,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "logging_steps": settings.logging_steps,
        "logging_first_step": True,
        "eval_strategy": "steps",
        "eval_steps": settings.eval_steps,
        "save_strategy": "steps",
        "save_steps": settings.eval_steps,
        "save_total_limit": settings.keep_checkpoints,
        "metric_for_best_model": "eval_score",
        "greater_is_better": True,
        "seed": settings.seed,
        "bf16": precision == "bf16",
        "fp16": precision == "fp16",
        "use_cpu": settings.cpu,
        "dataloader_num_workers": settings.num_workers,
        "ddp_timeout": settings.process_timeout,
        # the loss uses temperature and proxies, which the model's forward pass does not: they are no unused parameters
        "ddp_find_unused_parameters": False,
        "report_to": "none",
    }
    return TrainingArguments(**{**same, **others})


class StepBatches(Dataset[dict[str, Any]]):
    """The batches of a run, one an item: item `step` is what `CropBatches` gives for it."""

    def __init__(self, feed: TableFeed, steps: int) -> None:
        self._batches, self._steps = feed.batches, steps

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> dict[str, Any]:
        return self._batches[step]


def only_batch(items: list[dict[str, Any]]) -> dict[str, Any]:
    """The collator: the batch that an item of `StepBatches` is."""
    (batch,) = items
    return batch


class HierarchyTrainer(Trainer):
    """Trains a `HyperbolicCLIPVisionModel` on the pairs of a split.

    Batches are a function of (seed, step), so a run that goes on from a checkpoint sees those it would have seen. Each
    process has its share of every batch, and the loss is of all of it. What it evaluates is retrieval on the
    validation split, as `eval_recall@50%`, `eval_top_10`, `eval_own_scene@5`, `eval_auc` and `eval_score`.

    Args:
        model: as `build_model` gives it, perhaps with frozen layers (`restrict_training`).
        settings: of batches, loss, optimiser and schedule.
        args: of the `Trainer`; see `training_arguments`. Where both say the same thing, as `max_steps` and
            `max_grad_norm`, these count.
        train: the training split.
        val: the validation split; None where `args` ask for no evaluation.
        processor: saved with the model; its channel means are those that pixels are normalised by.
        **others: of `Trainer`, as `callbacks`.

    Raises:
        ValueError: `settings` ask for what training/train.py alone does, or `args` would gather several batches as one.
    """

    def __init__(
        self,
        model: HyperbolicCLIPVisionModel,
        settings: TrainArguments,
        args: TrainingArguments,
        train: Split,
        val: Split | None,
        processor: CLIPImageProcessorPil,
        **others: Any,
    ) -> None:
        if asked := [f"--{name}" for name in _LOOP_ALONE if getattr(settings, name)]:
            raise ValueError(f"the Trainer does not know {', '.join(asked)}: use training/train.py")
        if args.per_device_train_batch_size != 1 or args.gradient_accumulation_steps != 1:
            raise ValueError(
                "an item is a whole batch: leave per_device_train_batch_size and gradient_accumulation_steps at 1 and "
                "set --scenes_per_batch (a sum over parts of a batch is another loss, with fewer negatives)"
            )
        self.settings = settings
        self._feed = TableFeed(train, settings, (args.process_index, args.world_size))
        self._mean, self._std = processor.image_mean, processor.image_std
        self._parts: dict[str, torch.Tensor] = {}
        cache = int(settings.image_cache_gb * 2**30)
        self._validation = Validation(val, settings, self._mean, self._std, cache) if val is not None else None
        speed_up(model.backbone, settings)
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-arg]
        super().__init__(
            model=model,
            args=args,
            data_collator=only_batch,
            train_dataset=StepBatches(self._feed, args.max_steps),
            eval_dataset=val,
            processing_class=processor,
            **others,
        )
        self.add_callback(_Bounds())

    def get_train_dataloader(self) -> DataLoader:
        """In order, and not shared out once more: an item is this process's part of its step already."""
        workers = self.args.dataloader_num_workers
        return DataLoader(
            self.train_dataset,  # type: ignore[arg-type]
            batch_size=1,
            collate_fn=only_batch,
            num_workers=workers,
            timeout=self.settings.worker_timeout if workers else 0,
            pin_memory=self.args.dataloader_pin_memory and self.args.device.type == "cuda",
            generator=torch.Generator(),  # draws nothing from the global one, which dropout draws from
        )

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The loss of a batch, of all processes' parts of it together.

        Raises:
            ValueError: there is no pair in it, as where no image can be read.
        """
        crops = inputs["pixel_values"]
        nodes, counts = gather_nodes(inputs["nodes"], crops.device)
        embeds = gather_embeddings(embed_crops(model, crops, self._mean, self._std), counts)
        relations = self._feed.relations(inputs, nodes)
        if not len(relations.own):
            raise ValueError(f"a batch has no pair to learn from: {'; '.join(inputs['broken'][:3])}")
        relations = relations.to(embeds.device)
        masks = TiledMasks(relations) if self.settings.loss_tile else PairMasks(*relations.block())
        with torch.autocast(embeds.device.type, enabled=False):
            loss, self._parts = objective(
                self._plain_model, embeds, masks, self.settings, relations.categories, relations.is_scene
            )  # fmt: skip
        return (loss, {"embeds": embeds}) if return_outputs else loss

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW of training/train.py, with its groups."""
        if self.optimizer is None:
            own = self.settings
            groups = parameter_groups(
                self._plain_model, own.learning_rate, own.backbone_learning_rate, own.weight_decay, own.layer_decay
            )
            for group in groups:
                group["lr"] = group["peak"]
            self.optimizer = adamw(groups, self.args.device, betas=(own.adam_beta1, own.adam_beta2))
        return self.optimizer

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """Linear warm-up, then a cosine to zero."""
        if self.lr_scheduler is None:
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                optimizer or self.optimizer,  # type: ignore[arg-type]
                lambda step: learning_rate_factor(step, self.settings.warmup_steps, num_training_steps),
            )
        return self.lr_scheduler

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Retrieval on the validation split; the first process looks at it, and all are told.

        Raises:
            ValueError: there is no validation split, another set is given, or weights are not finite.
        """
        if self._validation is None or eval_dataset is not None:
            raise ValueError("this trainer evaluates on the validation split that it was made with, and on no other")
        self._check_weights()  # in every process: none is left waiting for the one that validates
        told: list[Any] = [self._validation(self._plain_model) if self.is_world_process_zero() else None]
        figures: dict[str, float] = broadcast_object_list(told)[0]
        metrics = {f"{metric_key_prefix}_{name.removeprefix('val_')}": value for name, value in figures.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As ever; to the loss come its parts, curvature and temperature."""
        if "loss" in logs:
            model = self._plain_model
            scalars = {"curvature": model.curvature.item(), "temperature": model.temperature.item()}
            logs = {**logs, **{name: part.item() for name, part in self._parts.items() if name != "loss"}, **scalars}
        super().log(logs, start_time)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """As ever, of a checkpoint too.

        Raises:
            ValueError: weights are not finite; checkpoints from before are left as they are.
        """
        self._check_weights()
        super().save_model(output_dir, _internal_call)

    def _check_weights(self) -> None:
        if name := nonfinite_weight(self._plain_model):
            raise ValueError(
                f"the weights are not finite after step {self.state.global_step} (the first is {name}): nothing is "
                f"saved of them. Go on from the newest checkpoint in {self.args.output_dir}, if there is one, with a "
                "lower learning rate"
            )

    @property
    def _plain_model(self) -> HyperbolicCLIPVisionModel:
        return self.accelerator.unwrap_model(self.model)

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        super()._save(output_dir, state_dict)
        if self.args.should_save:
            folder = Path(output_dir if output_dir is not None else str(self.args.output_dir))
            self.settings.save(folder)
            (folder / "training_args.bin").unlink(missing_ok=True)  # a pickle, which nothing reads
            (folder / "trainer_arguments.json").write_text(json.dumps(self.args.to_dict(), indent=2) + "\n")


class _Bounds(TrainerCallback):
    """Puts curvature and temperature back onto their bounds after each step."""

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        model = kwargs["model"]
        model.clamp_scalars_()
